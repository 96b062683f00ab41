"""Draws a scene with OpenGL 3.3 into whatever framebuffer it is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import moderngl
import numpy as np
from numpy.typing import NDArray

from gait.viewing.camera import Camera
from gait.viewing.colours import Colour
from gait.viewing.scene import Floor, Mesh, Scene, Segments, Spheres, vertex_normals

_SHADOW: Colour = (214, 217, 220)
_GRID: Colour = (222, 225, 228)

# Key light from the upper left in front, fill light from the right; both ride with the camera, so that a body
# reads the same from every side.
_MESH_SHADERS = (
    """#version 330
    uniform mat4 T_clip_camera, T_camera_world;
    in vec3 position, normal;
    out vec3 normal_camera;
    void main() {
        normal_camera = mat3(T_camera_world) * normal;
        gl_Position = T_clip_camera * T_camera_world * vec4(position, 1.0);
    }""",
    """#version 330
    uniform vec3 colour;
    uniform float opacity;
    in vec3 normal_camera;
    out vec4 drawn;
    void main() {
        vec3 n = normalize(gl_FrontFacing ? normal_camera : -normal_camera);
        float key = max(dot(n, normalize(vec3(-0.45, 0.65, 0.60))), 0.0);
        float fill = max(dot(n, normalize(vec3(0.80, 0.10, 0.55))), 0.0);
        float light = 0.62 + 0.06 * n.y + 0.40 * key + 0.14 * fill;
        drawn = vec4(min(colour * light, 1.0), opacity);
    }""",
)

_SHADOW_SHADERS = (
    """#version 330
    uniform mat4 T_clip_camera, T_camera_world;
    uniform float floor_height;
    in vec3 position;
    void main() {
        gl_Position = T_clip_camera * T_camera_world * vec4(position.x, floor_height, position.z, 1.0);
    }""",
    """#version 330
    uniform vec3 colour;
    out vec4 drawn;
    void main() { drawn = vec4(colour, 1.0); }""",
)

_FLOOR_SHADERS = (
    """#version 330
    uniform mat4 T_clip_camera, T_camera_world;
    uniform vec3 centre;
    uniform float extent;
    in vec2 corner;
    out vec3 place;
    void main() {
        place = centre + vec3(corner.x, 0.0, corner.y) * extent;
        gl_Position = T_clip_camera * T_camera_world * vec4(place, 1.0);
    }""",
    """#version 330
    uniform vec3 colour, centre;
    uniform float spacing, extent;
    in vec3 place;
    out vec4 drawn;
    void main() {
        vec2 cell = place.xz / spacing;
        vec2 width = max(fwidth(cell), 1e-6);
        vec2 to_line = abs(fract(cell - 0.5) - 0.5) / width;
        float line = 1.0 - min(min(to_line.x, to_line.y) / 1.5, 1.0);
        // Lines closer together than a few pixels would melt into a grey sheet.
        line *= 1.0 - smoothstep(0.15, 0.5, max(width.x, width.y));
        float near = 1.0 - smoothstep(0.35, 1.0, length(place - centre) / extent);
        drawn = vec4(colour, line * near);
    }""",
)

# Common to markers and lines: how much is left to see of what lies behind the skin, by its depth there.
_THROUGH_SKIN = """
    uniform sampler2D skin_depth;
    uniform vec4 depth_terms;  // clip z and w as linear functions of camera z
    float camera_z(float depth) {
        float ndc = depth * 2.0 - 1.0;
        return (depth_terms.w * ndc - depth_terms.y) / (depth_terms.x - depth_terms.z * ndc);
    }
    float window_depth(float z) {
        return 0.5 + 0.5 * (depth_terms.x * z + depth_terms.y) / (depth_terms.z * z + depth_terms.w);
    }
    float seen_through_skin(float z) {
        float depth = texelFetch(skin_depth, ivec2(gl_FragCoord.xy), 0).r;
        float behind = depth < 1.0 ? camera_z(depth) - z : 0.0;
        return mix(1.0, 0.12, smoothstep(0.01, 0.10, behind));
    }
"""

_SPHERE_SHADERS = (
    """#version 330
    uniform mat4 T_clip_camera, T_camera_world;
    uniform float radius, towards_viewer;
    in vec2 corner;
    in vec3 centre;
    out vec2 on_disc;
    out vec3 centre_camera;
    void main() {
        on_disc = corner;
        centre_camera = (T_camera_world * vec4(centre, 1.0)).xyz;
        gl_Position = T_clip_camera * vec4(centre_camera + vec3(corner * radius, 0.0), 1.0);
    }""",
    """#version 330
    uniform vec3 colour;
    uniform float radius, towards_viewer;
    in vec2 on_disc;
    in vec3 centre_camera;
    out vec4 drawn;
    """
    + _THROUGH_SKIN
    + """
    void main() {
        float beside = dot(on_disc, on_disc);
        if (beside > 1.0) discard;
        float bulge = sqrt(1.0 - beside);
        float light = 0.80 + 0.24 * max(dot(vec3(on_disc, bulge), normalize(vec3(-0.45, 0.65, 0.60))), 0.0);
        drawn = vec4(colour * light * (bulge < 0.38 ? 0.80 : 1.0), seen_through_skin(centre_camera.z));
        gl_FragDepth = window_depth(centre_camera.z + bulge * radius + towards_viewer);
    }""",
)

_SEGMENT_SHADERS = (
    """#version 330
    uniform mat4 T_clip_camera, T_camera_world;
    uniform vec2 pixels;  // of the framebuffer
    uniform float width;
    in vec2 corner;
    in vec3 start, end;
    out float depth_camera;
    void main() {
        vec4 a = T_camera_world * vec4(start, 1.0), b = T_camera_world * vec4(end, 1.0);
        vec4 clip_a = T_clip_camera * a, clip_b = T_clip_camera * b;
        vec2 along = (clip_b.xy / clip_b.w - clip_a.xy / clip_a.w) * pixels;
        along = length(along) > 1e-6 ? normalize(along) : vec2(1.0, 0.0);
        vec4 here = corner.x > 0.0 ? clip_b : clip_a;
        here.xy += vec2(-along.y, along.x) * corner.y * width / pixels * here.w;
        depth_camera = corner.x > 0.0 ? b.z : a.z;
        gl_Position = here;
    }""",
    """#version 330
    uniform vec3 colour;
    in float depth_camera;
    out vec4 drawn;
    """
    + _THROUGH_SKIN
    + """
    void main() { drawn = vec4(colour, seen_through_skin(depth_camera)); }""",
)

_PROGRAMS = (_MESH_SHADERS, _SHADOW_SHADERS, _FLOOR_SHADERS, _SPHERE_SHADERS, _SEGMENT_SHADERS)
_QUAD = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], dtype=np.float32)


@dataclass(frozen=True)
class Canvas:
    """Where a scene is drawn: one colour picture, two depths, so that markers show through the skin."""

    solid: moderngl.Framebuffer  # floor and meshes, with a depth texture that can be read
    overlay: moderngl.Framebuffer  # markers and lines, on the same colour with a depth of their own
    skin_depth: moderngl.Texture

    @classmethod
    def of_size(cls, context: moderngl.Context, width: int, height: int) -> Canvas:
        """A canvas of ``width`` by ``height`` pixels."""
        colour = context.texture((width, height), 4)
        skin_depth = context.depth_texture((width, height))
        skin_depth.compare_func = ""  # read as a number, not as a shadow test
        solid = context.framebuffer([colour], skin_depth)
        overlay = context.framebuffer([colour], context.depth_renderbuffer((width, height)))
        return cls(solid, overlay, skin_depth)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = self.solid.size
        return width, height

    def release(self) -> None:
        """Give the memory back."""
        colour = self.solid.color_attachments[0]
        for thing in (self.solid, self.overlay, self.overlay.depth_attachment, self.skin_depth, colour):
            thing.release()


class Renderer:
    """Owns the shader programs of one OpenGL context. That context must be current in the calling thread."""

    def __init__(self, context: moderngl.Context) -> None:
        self._context = context
        self._mesh, self._shadow, self._floor, self._sphere, self._segment = (
            context.program(vertex_shader=vertex, fragment_shader=fragment)
            for vertex, fragment in (
                _MESH_SHADERS,
                _SHADOW_SHADERS,
                _FLOOR_SHADERS,
                _SPHERE_SHADERS,
                _SEGMENT_SHADERS,
            )
        )
        self._quad = context.buffer(_QUAD.tobytes())

    def draw(self, scene: Scene, camera: Camera, canvas: Canvas, pixel_scale: float = 1.0) -> None:
        """Draw over all of ``canvas``; ``pixel_scale`` of its pixels make one of what the user sees."""
        width, height = canvas.size
        projection = camera.projection(width / height)
        for program in (self._mesh, self._shadow, self._floor, self._sphere, self._segment):
            _set_matrix(program, "T_clip_camera", projection)
            _set_matrix(program, "T_camera_world", camera.view())
        for program in (self._sphere, self._segment):
            program["skin_depth"] = 0
            program["depth_terms"] = (projection[2, 2], projection[2, 3], projection[3, 2], projection[3, 3])
        self._segment["pixels"] = (width, height)

        canvas.solid.use()
        self._context.viewport = (0, 0, width, height)
        canvas.solid.clear(*_unit(scene.background), 1.0, depth=1.0)
        self._context.blend_func = moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA
        uploads = [self._upload(mesh) for mesh in scene.meshes]
        if scene.floor is not None:
            self._draw_shadows(scene.floor, uploads)
            self._draw_floor(scene.floor, camera)
        self._draw_meshes(scene.meshes, uploads, canvas.solid)

        with _colour_kept(canvas.overlay):
            canvas.overlay.clear(depth=1.0)
        self._context.viewport = (0, 0, width, height)
        self._context.enable_only(moderngl.DEPTH_TEST | moderngl.BLEND)
        canvas.skin_depth.use(0)
        for segments in scene.segments:
            self._draw_segments(segments, pixel_scale)
        for spheres in scene.spheres:
            self._draw_spheres(spheres)
        for upload in uploads:
            upload.release()

    def _upload(self, mesh: Mesh) -> _MeshUpload:
        vertices = np.asarray(mesh.vertices_m, dtype=np.float32)
        faces = np.ascontiguousarray(mesh.faces, dtype=np.int32)
        vertex_buffer = self._context.buffer(np.hstack([vertices, vertex_normals(vertices, faces)]).tobytes())
        index_buffer = self._context.buffer(faces.tobytes())
        solid = self._context.vertex_array(self._mesh, [(vertex_buffer, "3f 3f", "position", "normal")], index_buffer)
        shadow = self._context.vertex_array(self._shadow, [(vertex_buffer, "3f 12x", "position")], index_buffer)
        return _MeshUpload(vertex_buffer, index_buffer, solid, shadow)

    def _draw_shadows(self, floor: Floor, uploads: list[_MeshUpload]) -> None:
        """Straight down; the darker of shadow and floor counts, so overlapping triangles do not add up."""
        self._context.enable_only(moderngl.BLEND | moderngl.CULL_FACE)
        self._context.blend_equation = moderngl.MIN  # type: ignore[assignment]
        self._shadow["floor_height"] = floor.height_m
        self._shadow["colour"] = _unit(_SHADOW)
        for upload in uploads:
            upload.shadow.render()
        self._context.blend_equation = moderngl.FUNC_ADD  # type: ignore[assignment]

    def _draw_floor(self, floor: Floor, camera: Camera) -> None:
        self._context.enable_only(moderngl.BLEND)
        x, _, z = camera.target_m
        self._floor["centre"] = (x, floor.height_m, z)
        self._floor["extent"] = camera.view_height_m * 1.2
        self._floor["spacing"] = floor.spacing_m
        self._floor["colour"] = _unit(_GRID)
        with_corners = self._context.vertex_array(self._floor, [(self._quad, "2f", "corner")])
        with_corners.render(moderngl.TRIANGLE_STRIP)
        with_corners.release()

    def _draw_meshes(self, meshes: tuple[Mesh, ...], uploads: list[_MeshUpload], canvas: moderngl.Framebuffer) -> None:
        """Solid ones first; of a see-through one only the front is drawn, so its own inside stays unseen."""
        self._context.enable_only(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        self._context.depth_func = "<="
        for mesh, upload in sorted(zip(meshes, uploads, strict=True), key=lambda pair: -pair[0].opacity):
            self._mesh["colour"] = _unit(mesh.colour)
            self._mesh["opacity"] = mesh.opacity
            if mesh.opacity < 1.0:
                with _colour_kept(canvas):
                    upload.solid.render()
                self._context.enable(moderngl.BLEND)
            upload.solid.render()

    def _draw_spheres(self, spheres: Spheres) -> None:
        centres = _whole_rows(spheres.centres_m)
        self._sphere["radius"] = spheres.radius_m
        self._sphere["towards_viewer"] = spheres.towards_viewer_m
        self._sphere["colour"] = _unit(spheres.colour)
        self._draw_instances(self._sphere, centres, "3f/i", "centre")

    def _draw_segments(self, segments: Segments, pixel_scale: float) -> None:
        ends = _whole_rows(np.hstack([segments.starts_m, segments.ends_m]))
        self._segment["width"] = segments.width_px * pixel_scale
        self._segment["colour"] = _unit(segments.colour)
        self._draw_instances(self._segment, ends, "3f 3f/i", "start", "end")

    def _draw_instances(self, program: moderngl.Program, rows: NDArray[np.float32], layout: str, *names: str) -> None:
        if not len(rows):
            return
        buffer = self._context.buffer(rows.tobytes())
        array = self._context.vertex_array(program, [(self._quad, "2f", "corner"), (buffer, layout, *names)])
        array.render(moderngl.TRIANGLE_STRIP, instances=len(rows))
        array.release()
        buffer.release()


@dataclass(frozen=True)
class _MeshUpload:
    vertex_buffer: moderngl.Buffer
    index_buffer: moderngl.Buffer
    solid: moderngl.VertexArray
    shadow: moderngl.VertexArray

    def release(self) -> None:
        for thing in (self.solid, self.shadow, self.vertex_buffer, self.index_buffer):
            thing.release()


@contextmanager
def _colour_kept(framebuffer: moderngl.Framebuffer) -> Iterator[None]:
    """Within, only the depth of ``framebuffer`` changes. A mask counts from the next ``use`` on."""
    framebuffer.color_mask = (False,) * 4
    framebuffer.use()
    yield
    framebuffer.color_mask = (True,) * 4
    framebuffer.use()


def _whole_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = np.asarray(rows, dtype=np.float32)
    return np.ascontiguousarray(rows[np.isfinite(rows).all(axis=1)])


def _unit(colour: Colour) -> tuple[float, float, float]:
    return colour[0] / 255, colour[1] / 255, colour[2] / 255


def _set_matrix(program: moderngl.Program, name: str, matrix: NDArray[np.float64]) -> None:
    program[name].write(matrix.T.astype(np.float32).tobytes())  # type: ignore[union-attr]
