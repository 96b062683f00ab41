"""What bodies look like: the GLSL with which the window (OpenGL 3.3) and the pages (WebGL 2) draw alike.

The texts have no ``#version``. ``SURFACE`` and ``DISC`` are functions for a fragment shader; ``SHADOW`` and ``FLOOR``
are whole programs, vertex and fragment shader.
"""

from __future__ import annotations

from gait.viewing.colours import Colour

SHADOW_COLOUR: Colour = (214, 217, 220)
GRID_COLOUR: Colour = (222, 225, 228)
HATCH_PX = 7.0
"""From line to line, across."""

# A key light from the upper left and a fill light from the right. Both move with the camera, so a body is lit in the
# same way from every side.
SURFACE = """
    vec3 hatched(vec3 ground, vec3 line, float line_px) {
        float across = fract((gl_FragCoord.x - gl_FragCoord.y) / line_px);
        return mix(ground, line, smoothstep(0.60, 0.72, across) * (1.0 - smoothstep(0.88, 1.0, across)));
    }
    vec3 lit(vec3 own, vec3 normal_camera) {
        vec3 n = normalize(gl_FrontFacing ? normal_camera : -normal_camera);
        float key = max(dot(n, normalize(vec3(-0.45, 0.65, 0.60))), 0.0);
        float fill = max(dot(n, normalize(vec3(0.80, 0.10, 0.55))), 0.0);
        return min(own * (0.62 + 0.06 * n.y + 0.40 * key + 0.14 * fill), 1.0);
    }
"""

DISC = """
    float bulge_of(vec2 on_disc) {  // height of the unit sphere above its disc; negative beside it
        float beside = dot(on_disc, on_disc);
        return beside > 1.0 ? -1.0 : sqrt(1.0 - beside);
    }
    vec3 lit_sphere(vec3 colour, vec2 on_disc, float bulge) {
        float light = 0.80 + 0.24 * max(dot(vec3(on_disc, bulge), normalize(vec3(-0.45, 0.65, 0.60))), 0.0);
        return colour * light * (bulge < 0.38 ? 0.80 : 1.0);
    }
"""

SHADOW = (
    """
    uniform mat4 T_clip_camera, T_camera_world;
    uniform float floor_height;
    in vec3 position;
    void main() {
        gl_Position = T_clip_camera * T_camera_world * vec4(position.x, floor_height, position.z, 1.0);
    }""",
    """
    uniform vec3 colour;
    out vec4 drawn;
    void main() { drawn = vec4(colour, 1.0); }""",
)

FLOOR = (
    """
    uniform mat4 T_clip_camera, T_camera_world;
    uniform vec3 centre;
    uniform float extent;
    in vec2 corner;
    out vec3 position;
    void main() {
        position = centre + vec3(corner.x, 0.0, corner.y) * extent;
        gl_Position = T_clip_camera * T_camera_world * vec4(position, 1.0);
    }""",
    """
    uniform vec3 colour, centre;
    uniform float spacing, extent;
    in vec3 position;
    out vec4 drawn;
    void main() {
        vec2 cell = position.xz / spacing;
        vec2 width = max(fwidth(cell), 1e-6);
        vec2 to_line = abs(fract(cell - 0.5) - 0.5) / width;
        float line = 1.0 - min(min(to_line.x, to_line.y) / 1.5, 1.0);
        // Lines closer together than a few pixels would merge into a grey area.
        line *= 1.0 - smoothstep(0.15, 0.5, max(width.x, width.y));
        float near = 1.0 - smoothstep(0.35, 1.0, length(position - centre) / extent);
        drawn = vec4(colour, line * near);
    }""",
)
