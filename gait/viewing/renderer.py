"""Renders a scene with OpenGL 3.3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import moderngl
import numpy as np
from numpy.typing import NDArray

from gait.viewing.camera import Camera
from gait.viewing.colours import HATCH, UNOBSERVED, Colour, Scale
from gait.viewing.scene import Floor, Mesh, Scene, Segments, Spheres, vertex_normals
from gait.viewing.shaders import DISC, FLOOR, GRID_COLOUR, HATCH_PX, SHADOW, SHADOW_COLOUR, SURFACE

_MESH_SHADERS = (
    """
    uniform mat4 T_clip_camera, T_camera_world;
    in vec3 position, normal;
    out vec3 normal_camera;
    #ifdef VALUED
    in float value, observed;
    out float position_on_scale;  // 0 to 1
    out float known, observed_weight;
    uniform vec2 range;
    #endif
    void main() {
        normal_camera = mat3(T_camera_world) * normal;
    #ifdef VALUED
        known = isnan(value) ? 0.0 : 1.0;
        observed_weight = observed;
        position_on_scale = isnan(value) ? 0.0 : (value - range.x) / (range.y - range.x);
    #endif
        gl_Position = T_clip_camera * T_camera_world * vec4(position, 1.0);
    }""",
    """
    uniform vec3 colour;  // where there is no value
    uniform float opacity;
    in vec3 normal_camera;
    out vec4 drawn;
    #ifdef VALUED
    uniform bool valued, partly_observed;
    uniform sampler2D scale;
    uniform vec3 unobserved, hatch;
    uniform float hatch_px;
    in float position_on_scale, known, observed_weight;
    #endif
    """
    + SURFACE
    + """
    void main() {
        vec3 own = colour;
    #ifdef VALUED
        float at = clamp(position_on_scale, 0.0, 1.0);
        if (valued && known > 0.999) own = texture(scale, vec2((at * 255.0 + 0.5) / 256.0, 0.5)).rgb;
        if (partly_observed && observed_weight < 0.5) own = hatched(unobserved, hatch, hatch_px);
    #endif
        drawn = vec4(lit(own, normal_camera), opacity);
    }""",
)
# A mesh of one colour has shaders of its own: in software they take half the time of those for values.
_PLAIN_MESH_SHADERS = tuple(f"#version 330\n{text}" for text in _MESH_SHADERS)
_VALUED_MESH_SHADERS = tuple(f"#version 330\n#define VALUED\n{text}" for text in _MESH_SHADERS)

# Shared by spheres and segments: visibility of what lies behind the skin, by its depth there.
_THROUGH_SKIN = """
    uniform sampler2D skin_depth;
    uniform float through_skin;
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
        return mix(1.0, through_skin, smoothstep(0.01, 0.10, behind));
    }
"""

_SPHERE_SHADERS = (
    """#version 330
    uniform mat4 T_clip_camera, T_camera_world;
    in vec2 corner;
    in vec3 centre;
    in float radius;
    out vec2 on_disc;
    out vec3 centre_camera;
    out float own_radius;
    void main() {
        on_disc = corner;
        own_radius = radius;
        centre_camera = (T_camera_world * vec4(centre, 1.0)).xyz;
        gl_Position = T_clip_camera * vec4(centre_camera + vec3(corner * radius, 0.0), 1.0);
    }""",
    """#version 330
    uniform vec3 colour;
    uniform float towards_viewer, opacity;
    in vec2 on_disc;
    in vec3 centre_camera;
    in float own_radius;
    out vec4 drawn;
    """
    + _THROUGH_SKIN
    + DISC
    + """
    void main() {
        float bulge = bulge_of(on_disc);
        if (bulge < 0.0) discard;
        drawn = vec4(lit_sphere(colour, on_disc, bulge), opacity * seen_through_skin(centre_camera.z));
        gl_FragDepth = window_depth(centre_camera.z + bulge * own_radius + towards_viewer);
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


_MAX_UPLOADS, _MAX_SCALES = 4, 8
_QUAD = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], dtype=np.float32)


@dataclass(frozen=True)
class Canvas:
    """The target of a scene: one colour texture and two depth buffers, so that markers are visible through the skin."""

    solid: moderngl.Framebuffer  # floor and meshes, with a readable depth texture
    overlay: moderngl.Framebuffer  # markers and lines: the same colour texture, a separate depth buffer
    skin_depth: moderngl.Texture

    @classmethod
    def of_size(cls, context: moderngl.Context, width: int, height: int) -> Canvas:
        """Create a canvas of ``width`` by ``height`` pixels."""
        colour = context.texture((width, height), 4)
        colour.repeat_x = colour.repeat_y = False
        colour.filter = (moderngl.NEAREST, moderngl.NEAREST)
        skin_depth = context.depth_texture((width, height))
        skin_depth.compare_func = ""  # sampled as a value, not as a shadow comparison
        solid = context.framebuffer([colour], skin_depth)
        overlay = context.framebuffer([colour], context.depth_renderbuffer((width, height)))
        return cls(solid, overlay, skin_depth)

    @property
    def colour_texture(self) -> moderngl.Texture:
        """Colour texture, bottom row first."""
        return self.solid.color_attachments[0]  # type: ignore[return-value]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = self.solid.size
        return width, height

    def release(self) -> None:
        """Free the memory."""
        colour = self.solid.color_attachments[0]
        for resource in (self.solid, self.overlay, self.overlay.depth_attachment, self.skin_depth, colour):
            resource.release()


class Renderer:
    """The shader programs of one OpenGL context, which must be current in the calling thread."""

    def __init__(self, context: moderngl.Context) -> None:
        self._context = context
        self._mesh, self._plain_mesh, self._shadow, self._floor, self._sphere, self._segment = self._programs = tuple(
            context.program(vertex_shader=vertex, fragment_shader=fragment)
            for vertex, fragment in (
                _VALUED_MESH_SHADERS,
                _PLAIN_MESH_SHADERS,
                tuple(f"#version 330\n{text}" for text in SHADOW),
                tuple(f"#version 330\n{text}" for text in FLOOR),
                _SPHERE_SHADERS,
                _SEGMENT_SHADERS,
            )
        )
        self._mesh["unobserved"], self._mesh["hatch"] = _unit(UNOBSERVED), _unit(HATCH)
        self._quad = context.buffer(_QUAD.tobytes())
        self._uploads: dict[tuple[int, int, int], _MeshUpload] = {}
        self._scales: dict[Scale, moderngl.Texture] = {}

    def draw(self, scene: Scene, camera: Camera, canvas: Canvas, pixel_scale: float = 1.0) -> None:
        """Render a scene over all of ``canvas``; ``pixel_scale`` is the number of its pixels per pixel of the view."""
        width, height = canvas.size
        projection = camera.projection_matrix(width / height)
        for program in self._programs:
            _set_matrix(program, "T_clip_camera", projection)
            _set_matrix(program, "T_camera_world", camera.view_matrix())
        for program in (self._sphere, self._segment):
            program["skin_depth"] = 0
            program["depth_terms"] = (projection[2, 2], projection[2, 3], projection[3, 2], projection[3, 3])
        self._segment["pixels"] = (width, height)

        canvas.solid.use()
        self._context.viewport = (0, 0, width, height)
        canvas.solid.clear(*_unit(scene.background), 1.0, depth=1.0)
        # The image stays opaque, whatever is blended into it.
        self._context.blend_func = (  # type: ignore[assignment]
            moderngl.SRC_ALPHA,
            moderngl.ONE_MINUS_SRC_ALPHA,
            moderngl.ONE,
            moderngl.ONE_MINUS_SRC_ALPHA,
        )
        uploads = [self._upload(index, mesh) for index, mesh in enumerate(scene.meshes)]
        if scene.floor is not None:
            self._draw_shadows(scene.floor, uploads)
            self._draw_floor(scene.floor, camera)
        self._mesh["hatch_px"] = HATCH_PX * pixel_scale
        self._draw_meshes(scene.meshes, uploads, canvas.solid)

        with _depth_only(canvas.overlay):
            canvas.overlay.clear(depth=1.0)
        self._context.viewport = (0, 0, width, height)
        self._context.enable_only(moderngl.DEPTH_TEST | moderngl.BLEND)
        canvas.skin_depth.use(0)
        for segments in scene.segments:
            self._draw_segments(segments, pixel_scale)
        for spheres in scene.spheres:
            self._draw_spheres(spheres)

    def _upload(self, index: int, mesh: Mesh) -> _MeshUpload:
        """Copy a mesh to the GPU. Buffers of the same index with the same faces are reused."""
        key = (index, len(mesh.vertices_m), id(mesh.faces))
        upload = self._uploads.pop(key, None)
        if upload is None:
            upload = self._new_upload(mesh)
        self._uploads[key] = upload  # least recently used first
        while len(self._uploads) > _MAX_UPLOADS:
            self._uploads.pop(next(iter(self._uploads))).release()
        vertices = np.ascontiguousarray(mesh.vertices_m, dtype=np.float32)
        normals = vertex_normals(vertices, upload.faces) if mesh.normals is None else mesh.normals
        upload.vertices.write(vertices)
        upload.normals.write(np.ascontiguousarray(normals, dtype=np.float32))
        if mesh.values is not None:
            upload.values.write(np.ascontiguousarray(mesh.values, dtype=np.float32))
        if mesh.observed is not None:
            upload.observed.write(np.ascontiguousarray(mesh.observed, dtype=np.float32))
        return upload

    def _new_upload(self, mesh: Mesh) -> _MeshUpload:
        faces = np.ascontiguousarray(mesh.faces, dtype=np.int32)
        vertices, normals = (self._context.buffer(reserve=12 * len(mesh.vertices_m), dynamic=True) for _ in range(2))
        values, observed = (self._context.buffer(reserve=4 * len(mesh.vertices_m), dynamic=True) for _ in range(2))
        index = self._context.buffer(faces.tobytes())
        solid = self._context.vertex_array(
            self._mesh,
            [
                (vertices, "3f", "position"),
                (normals, "3f", "normal"),
                (values, "1f", "value"),
                (observed, "1f", "observed"),
            ],
            index,
        )
        plain = self._context.vertex_array(
            self._plain_mesh, [(vertices, "3f", "position"), (normals, "3f", "normal")], index
        )
        shadow = self._context.vertex_array(self._shadow, [(vertices, "3f", "position")], index)
        return _MeshUpload(mesh.faces, faces, vertices, normals, values, observed, index, solid, plain, shadow)

    def _scale_texture(self, scale: Scale) -> moderngl.Texture:
        if scale not in self._scales:
            if len(self._scales) > _MAX_SCALES:
                self._scales.pop(next(iter(self._scales))).release()
            table = scale.colours(np.linspace(scale.low, scale.high, 256))
            self._scales[scale] = self._context.texture((256, 1), 3, table.tobytes(), alignment=1)
        return self._scales[scale]

    def _draw_shadows(self, floor: Floor, uploads: list[_MeshUpload]) -> None:
        """Draw shadows straight down. The darker of shadow and floor is kept, so overlapping shadows do not add up."""
        self._context.enable_only(moderngl.BLEND | moderngl.CULL_FACE)
        self._context.blend_equation = moderngl.MIN  # type: ignore[assignment]
        self._shadow["floor_height"] = floor.height_m
        self._shadow["colour"] = _unit(SHADOW_COLOUR)
        for upload in uploads:
            upload.shadow.render()
        self._context.blend_equation = moderngl.FUNC_ADD  # type: ignore[assignment]

    def _draw_floor(self, floor: Floor, camera: Camera) -> None:
        self._context.enable_only(moderngl.BLEND)
        x, _, z = camera.target_m
        self._floor["centre"] = (x, floor.height_m, z)
        self._floor["extent"] = camera.view_height_m * 1.2
        self._floor["spacing"] = floor.spacing_m
        self._floor["colour"] = _unit(GRID_COLOUR)
        with_corners = self._context.vertex_array(self._floor, [(self._quad, "2f", "corner")])
        with_corners.render(moderngl.TRIANGLE_STRIP)
        with_corners.release()

    def _draw_meshes(self, meshes: tuple[Mesh, ...], uploads: list[_MeshUpload], canvas: moderngl.Framebuffer) -> None:
        """Draw opaque meshes first; of a transparent mesh only the front surface is drawn."""
        self._context.enable_only(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        self._context.depth_func = "<="
        for mesh, upload in sorted(zip(meshes, uploads, strict=True), key=lambda pair: -pair[0].opacity):
            valued = mesh.values is not None and mesh.scale is not None
            plain = not valued and mesh.observed is None
            program, array = (self._plain_mesh, upload.plain) if plain else (self._mesh, upload.solid)
            program["colour"] = _unit(mesh.scale.missing if valued and mesh.scale is not None else mesh.colour)
            program["opacity"] = mesh.opacity
            if not plain:
                program["valued"] = valued
                program["partly_observed"] = mesh.observed is not None
            if valued and mesh.scale is not None:
                program["range"] = (mesh.scale.low, mesh.scale.high)
                program["scale"] = 1
                self._scale_texture(mesh.scale).use(1)
            if mesh.opacity < 1.0:
                with _depth_only(canvas):
                    array.render()
                self._context.enable(moderngl.BLEND)
            array.render()

    def _draw_spheres(self, spheres: Spheres) -> None:
        centres = np.asarray(spheres.centres_m, dtype=np.float32)
        radii = np.broadcast_to(np.asarray(spheres.radius_m, dtype=np.float32), len(centres))
        self._sphere["towards_viewer"] = spheres.towards_viewer_m
        self._sphere["colour"] = _unit(spheres.colour)
        self._sphere["opacity"] = spheres.opacity
        self._sphere["through_skin"] = spheres.through_skin
        rows = _finite_rows(np.concatenate([centres, radii[:, None]], axis=1))
        self._draw_instances(self._sphere, rows, "3f 1f/i", "centre", "radius")

    def _draw_segments(self, segments: Segments, pixel_scale: float) -> None:
        ends = _finite_rows(np.hstack([segments.starts_m, segments.ends_m]))
        self._segment["width"] = segments.width_px * pixel_scale
        self._segment["colour"] = _unit(segments.colour)
        self._segment["through_skin"] = segments.through_skin
        self._draw_instances(self._segment, ends, "3f 3f/i", "start", "end")

    def _draw_instances(self, program: moderngl.Program, rows: NDArray[np.float32], layout: str, *names: str) -> None:
        if not len(rows):
            return
        buffer = self._context.buffer(rows.tobytes())
        array = self._context.vertex_array(program, [(self._quad, "2f", "corner"), (buffer, layout, *names)])
        array.render(moderngl.TRIANGLE_STRIP, instances=len(rows))
        array.release()
        buffer.release()


@dataclass(frozen=True, eq=False)
class _MeshUpload:
    source_faces: NDArray[np.int32]  # a reference to the caller's array, so that its id, a key, is not reused
    faces: NDArray[np.int32]
    vertices: moderngl.Buffer
    normals: moderngl.Buffer
    values: moderngl.Buffer
    observed: moderngl.Buffer
    index: moderngl.Buffer
    solid: moderngl.VertexArray
    plain: moderngl.VertexArray
    shadow: moderngl.VertexArray

    def release(self) -> None:
        buffers = (self.vertices, self.normals, self.values, self.observed, self.index)
        for resource in (self.solid, self.plain, self.shadow, *buffers):
            resource.release()


@contextmanager
def _depth_only(framebuffer: moderngl.Framebuffer) -> Iterator[None]:
    """Write only the depth of ``framebuffer`` within the context. A colour mask takes effect at the next ``use``."""
    framebuffer.color_mask = (False,) * 4
    framebuffer.use()
    yield
    framebuffer.color_mask = (True,) * 4
    framebuffer.use()


def _finite_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = np.asarray(rows, dtype=np.float32)
    return np.ascontiguousarray(rows[np.isfinite(rows).all(axis=1)])


def _unit(colour: Colour) -> tuple[float, float, float]:
    return colour[0] / 255, colour[1] / 255, colour[2] / 255


def _set_matrix(program: moderngl.Program, name: str, matrix: NDArray[np.float64]) -> None:
    program[name].write(matrix.T.astype(np.float32).tobytes())  # type: ignore[union-attr]
