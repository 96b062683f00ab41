"""One trial as one page that a browser opens without a network: the moving body, its attribution, playback.

* ``export``: from a trial, a network and methods to the file;
* ``build``: the page's text, of the files in ``web``;
* ``walk_data``: what the page shows, as JSON; ``skin_data``: its bodies; ``array_store``: the arrays of both;
* ``still_picture``: what a browser without WebGL 2 shows, and what is printed.

``docs/walk_page.md`` describes the data.
"""
