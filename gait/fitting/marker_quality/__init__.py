"""Bad data, found and named before it spoils a body: which marker, in which frames, in what way."""
