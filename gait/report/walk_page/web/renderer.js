// Draws the bodies with WebGL 2, as gait/viewing/renderer.py does: light, hatching, floor and shadow are those of
// gait/viewing/shaders.py, which the page has as SHADERS.
//
// Once per frame and body, a first program moves each vertex by its joints' matrices and mixes the values of the joints
// near it; a second one computes the normal of each vertex from the triangles around it, whose corners it finds in a
// texture. Transform feedback keeps the results for the passes that draw.

const SKIN_SLOTS = 8, INFLUENCE_SLOTS = 12; // per vertex, four per attribute
const TABLE_WIDTH = 1024; // of textures that hold one number after the other

const HEAD = "#version 300 es\nprecision highp float;\nprecision highp int;\n";

const MAX_JOINTS = 75; // of the open body
const SKIN_SHADER = HEAD + `
// Per joint three rows of its matrix from rest, as columns; the fourth: value (0 if unknown), known, observed.
layout(std140) uniform Pose { mat4 joints[${MAX_JOINTS}]; };
in vec3 position;
in uvec4 joints0, joints1, near0, near1, near2; // each number a joint and, in its lower 16 bits, the joint's weight
uniform bool valued;
out vec4 movedPosition;
out vec3 shown; // value, whether it is known, weight of observed parts
mat4 moveBy(uint each) { return float(each & 65535u) / 65535.0 * joints[int(each >> 16u)]; }
vec2 mixIn(uint each) { return float(each & 65535u) / 65535.0 * joints[int(each >> 16u)][3].xy; }
void main() {
  mat4 moved = moveBy(joints0.x) + moveBy(joints0.y);
  // Few vertices have more than two joints; weights fall from slot to slot.
  if (joints0.z > 0u) moved += moveBy(joints0.z) + moveBy(joints0.w);
  if (joints1.x > 0u) moved += moveBy(joints1.x) + moveBy(joints1.y) + moveBy(joints1.z) + moveBy(joints1.w);
  movedPosition = vec4((vec4(position, 1.0) * moved).xyz, 1.0);
  vec2 sum = vec2(0.0); // of values, of the weights of known ones
  if (valued) {
    sum = mixIn(near0.x) + mixIn(near0.y) + mixIn(near0.z) + mixIn(near0.w);
    if (near1.x > 0u) sum += mixIn(near1.x) + mixIn(near1.y) + mixIn(near1.z) + mixIn(near1.w);
    if (near2.x > 0u) sum += mixIn(near2.x) + mixIn(near2.y) + mixIn(near2.z) + mixIn(near2.w);
  }
  shown = vec3(sum.y > 0.5 ? sum.x / sum.y : 0.0, sum.y > 0.5 ? 1.0 : 0.0, moved[3].z);
  gl_Position = vec4(0.0);
  gl_PointSize = 1.0;
}`;
const NORMAL_SHADER = HEAD + `
uniform highp sampler2D positions;
uniform highp usampler2D corners; // per triangle around a vertex its two other corners, counter-clockwise
in vec4 position;
in uvec2 triangles; // first and number of the triangles around this vertex
out vec3 movedNormal; // the mean of those of the triangles, weighted by their areas
ivec2 place(int k) { return ivec2(k % ${TABLE_WIDTH}, k / ${TABLE_WIDTH}); }
void main() {
  vec3 sum = vec3(0.0);
  for (uint k = 0u; k < triangles.y; k++) {
    uvec2 others = texelFetch(corners, place(int(triangles.x + k)), 0).xy;
    vec3 a = texelFetch(positions, place(int(others.x)), 0).xyz, b = texelFetch(positions, place(int(others.y)), 0).xyz;
    sum += cross(a - position.xyz, b - position.xyz);
  }
  float size = length(sum);
  movedNormal = size > 0.0 ? sum / size : vec3(0.0, 1.0, 0.0);
  gl_Position = vec4(0.0);
  gl_PointSize = 1.0;
}`;
const NOTHING_SHADER = HEAD + "out vec4 drawn;\nvoid main() { drawn = vec4(0.0); }";

const MESH_SHADERS = [HEAD + `
uniform mat4 T_clip_camera, T_camera_world;
uniform vec2 range;
in vec3 position, normal, shown;
out vec3 normal_camera;
out float position_on_scale, known, observed;
void main() {
  normal_camera = mat3(T_camera_world) * normal;
  known = shown.y;
  observed = shown.z;
  position_on_scale = (shown.x - range.x) / (range.y - range.x);
  gl_Position = T_clip_camera * T_camera_world * vec4(position, 1.0);
}`, HEAD + `
uniform vec3 colour, unobserved, hatch; // colour: where there is no value
uniform float opacity, hatch_px;
uniform bool valued, partly_observed;
uniform sampler2D scale;
in vec3 normal_camera;
in float position_on_scale, known, observed;
out vec4 drawn;
${SHADERS.surface}
void main() {
  vec3 own = colour;
  if (valued && known > 0.999) {
    own = texture(scale, vec2((clamp(position_on_scale, 0.0, 1.0) * 255.0 + 0.5) / 256.0, 0.5)).rgb;
  }
  if (partly_observed && observed < 0.5) own = hatched(unobserved, hatch, hatch_px);
  drawn = vec4(lit(own, normal_camera), opacity);
}`];

const SHADOW_SHADERS = SHADERS.shadow.map((text) => HEAD + text);
const FLOOR_SHADERS = SHADERS.floor.map((text) => HEAD + text);

const SPHERE_SHADERS = [HEAD + `
uniform mat4 T_clip_camera, T_camera_world;
uniform float radius, towards_viewer;
in vec2 corner;
in vec3 centre;
out vec2 on_disc;
void main() {
  on_disc = corner;
  vec3 at = (T_camera_world * vec4(centre, 1.0)).xyz + vec3(corner * radius, 0.0);
  vec4 nearer = T_clip_camera * vec4(at + vec3(0.0, 0.0, radius + towards_viewer), 1.0);
  gl_Position = T_clip_camera * vec4(at, 1.0);
  gl_Position.z = nearer.z / nearer.w * gl_Position.w;
}`, HEAD + `
uniform vec3 colour;
uniform float opacity;
in vec2 on_disc;
out vec4 drawn;
${SHADERS.disc}
void main() {
  float bulge = bulge_of(on_disc);
  if (bulge < 0.0) discard;
  drawn = vec4(lit_sphere(colour, on_disc, bulge), opacity);
}`];

const SEGMENT_SHADERS = [HEAD + `
uniform mat4 T_clip_camera, T_camera_world;
uniform vec2 pixels;
uniform float width;
in vec2 corner;
in vec3 start, end;
void main() {
  vec4 a = T_clip_camera * T_camera_world * vec4(start, 1.0), b = T_clip_camera * T_camera_world * vec4(end, 1.0);
  vec2 along = (b.xy / b.w - a.xy / a.w) * pixels;
  along = length(along) > 1e-6 ? normalize(along) : vec2(1.0, 0.0);
  gl_Position = corner.x > 0.0 ? b : a;
  gl_Position.xy += vec2(-along.y, along.x) * corner.y * width / pixels * gl_Position.w;
}`, HEAD + `
uniform vec3 colour;
uniform float opacity;
out vec4 drawn;
void main() { drawn = vec4(colour, opacity); }`];

/**
 * Return an object that draws the data's bodies into a canvas: draw(frame, camera, shown), where shown has `method` (its
 * number, -1 for plain skin), `joint` (the selected one, -1 for none) and `layers`; and `joint(frame, joint,
 * body)`, the position of a joint. Throws if the browser has no WebGL 2.
 */
function createRenderer(canvas, data) {
  const gl = canvas.getContext("webgl2", { alpha: false, antialias: !drawsInSoftware() });
  if (!gl) throw new Error("This browser has no WebGL 2.");
  const skin = createSkin(gl, data);
  const bodies = data.bodies.map((_, index) => createDrawnBody(gl, data, skin, index));
  const [mesh, shadow, floor, sphere, segment] =
    [MESH_SHADERS, SHADOW_SHADERS, FLOOR_SHADERS, SPHERE_SHADERS, SEGMENT_SHADERS].map((shaders) => createProgram(gl, ...shaders));
  for (const body of bodies) body.drawWith(mesh, shadow);
  const quad = createBuffer(gl, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]));
  const floorArray = createArray(gl, floor, { corner: [quad, 2] });
  const instances = gl.createBuffer();
  const sphereArray = createArray(gl, sphere, { corner: [quad, 2], centre: [instances, 3, 12, 0, 1] });
  const segmentArray = createArray(gl, segment, {
    corner: [quad, 2], start: [instances, 3, 24, 0, 1], end: [instances, 3, 24, 12, 1],
  });
  const methods = (data.methods || []).map((method) => ({
    values: readArray(data, method.values), scale: method.scale, texture: createScale(gl, method.scale.colours),
  }));
  const partsObserved = data.parts_observed && readArray(data, data.parts_observed);
  const jointsObserved = data.joints_observed && readArray(data, data.joints_observed);
  const numJoints = data.joints.length, parents = data.skin.parents;
  const colours = data.colours, floorHeight = data.floor_m;

  function draw(frame, camera, shown) {
    const method = methods[shown.method];
    const visible = bodies.filter((body, index) => index === 0 || shown.layers.beside);
    bodies[0].move(frame, method && method.values, partsObserved);
    if (shown.layers.beside) for (const body of bodies.slice(1)) body.move(frame, null, null);
    const { width, height } = canvas;
    const T_clip_camera = projectionMatrix(camera, width / height), T_camera_world = viewMatrix(camera);
    for (const program of [mesh, shadow, floor, sphere, segment]) {
      gl.useProgram(program.handle);
      gl.uniformMatrix4fv(program.at.T_clip_camera, false, T_clip_camera);
      gl.uniformMatrix4fv(program.at.T_camera_world, false, T_camera_world);
    }
    gl.viewport(0, 0, width, height);
    gl.clearColor(...unit(colours.background), 1);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.CULL_FACE);
    gl.depthMask(true);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    if (shown.layers.floor) {
      drawShadows(visible);
      drawFloor(camera);
    }
    gl.disable(gl.BLEND);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    if (shown.layers.skin) {
      gl.enable(gl.CULL_FACE);
      drawMesh(bodies[0], { colour: method ? method.scale.missing : colours.skin, method, partial: Boolean(partsObserved), opacity: 1 });
      for (const body of visible.slice(1)) {
        gl.colorMask(false, false, false, false);
        drawMesh(body, { colour: colours.beside, opacity: 0.55 });
        gl.colorMask(true, true, true, true);
        gl.enable(gl.BLEND);
        drawMesh(body, { colour: colours.beside, opacity: 0.55 });
        gl.disable(gl.BLEND);
      }
      gl.disable(gl.CULL_FACE);
    }
    gl.enable(gl.BLEND);
    gl.depthMask(false);
    if (shown.layers.path) drawPath();
    if (shown.layers.skeleton || !shown.layers.skin) drawSkeleton(frame);
    if (shown.joint >= 0) drawSpheres(bodies[0].body.joint(frame, shown.joint), 0.024, colours.selected, 0.03, 0.9);
    gl.depthMask(true);
  }

  /** Draw shadows straight down; the darker of shadow and floor is kept, so overlapping shadows do not add up. */
  function drawShadows(visible) {
    gl.enable(gl.CULL_FACE);
    gl.blendEquation(gl.MIN);
    gl.useProgram(shadow.handle);
    gl.uniform1f(shadow.at.floor_height, floorHeight);
    gl.uniform3fv(shadow.at.colour, unit(SHADERS.shadow_colour));
    for (const body of visible) {
      gl.bindVertexArray(body.shadowArray);
      gl.drawElements(gl.TRIANGLES, skin.numCorners, skin.indexType, 0);
    }
    gl.blendEquation(gl.FUNC_ADD);
    gl.disable(gl.CULL_FACE);
  }

  function drawFloor(camera) {
    gl.useProgram(floor.handle);
    gl.uniform3f(floor.at.centre, camera.target[0], floorHeight, camera.target[2]);
    gl.uniform1f(floor.at.extent, camera.viewHeight * 1.2);
    gl.uniform1f(floor.at.spacing, 0.5);
    gl.uniform3fv(floor.at.colour, unit(SHADERS.grid_colour));
    gl.bindVertexArray(floorArray);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  function drawMesh(body, { colour, method, partial = false, opacity }) {
    gl.useProgram(mesh.handle);
    gl.uniform3fv(mesh.at.colour, unit(colour));
    gl.uniform3fv(mesh.at.unobserved, unit(colours.unobserved));
    gl.uniform3fv(mesh.at.hatch, unit(colours.hatch));
    gl.uniform1f(mesh.at.hatch_px, SHADERS.hatch_px * pixelScale());
    gl.uniform1f(mesh.at.opacity, opacity);
    gl.uniform1i(mesh.at.valued, method ? 1 : 0);
    gl.uniform1i(mesh.at.partly_observed, partial ? 1 : 0);
    gl.uniform2f(mesh.at.range, method ? method.scale.low : 0, method ? method.scale.high : 1);
    gl.uniform1i(mesh.at.scale, 1);
    if (method) {
      gl.activeTexture(gl.TEXTURE1);
      gl.bindTexture(gl.TEXTURE_2D, method.texture);
    }
    gl.bindVertexArray(body.meshArray);
    gl.drawElements(gl.TRIANGLES, skin.numCorners, skin.indexType, 0);
  }

  function drawSkeleton(frame) {
    const seen = [[], []], bones = [[], []];
    for (let joint = 0; joint < numJoints; joint++) {
      const hidden = jointsObserved && !jointsObserved[frame * numJoints + joint] ? 1 : 0;
      const at = bodies[0].body.joint(frame, joint);
      seen[hidden].push(...at);
      if (joint > 0) bones[hidden].push(...bodies[0].body.joint(frame, parents[joint]), ...at);
    }
    drawSegments(bones[0], 3, colours.bone, 0.8);
    drawSegments(bones[1], 3, colours.unobserved, 0.8);
    drawSpheres(seen[0], 0.016, colours.joint, 0.02, 0.85);
    drawSpheres(seen[1], 0.016, colours.unobserved, 0.02, 0.85);
  }

  /** Draw the path of the pelvis on the floor, and a line along the foot at each initial contact. */
  function drawPath() {
    const step = Math.max(1, Math.floor(data.num_frames / 400)), path = [];
    let last = null;
    for (let frame = 0; frame < data.num_frames; frame += step) {
      const [x, , z] = bodies[0].body.joint(frame, 0), at = [x, floorHeight + 0.004, z];
      if (last) path.push(...last, ...at);
      last = at;
    }
    drawSegments(path, 2, colours.path, 0);
    for (const [side, ankle, foot] of [["left", 7, 10], ["right", 8, 11]]) {
      const feet = [];
      for (const seconds of data.events[side].initial_contacts_s) {
        const frame = Math.min(Math.max(Math.round(seconds * data.rate_hz), 0), data.num_frames - 1);
        const heel = bodies[0].body.joint(frame, ankle), toe = bodies[0].body.joint(frame, foot);
        heel[1] = toe[1] = floorHeight + 0.006;
        feet.push(...heel, ...heel.map((each, axis) => each + 1.4 * (toe[axis] - each)));
      }
      drawSegments(feet, 5, colours[side], 0);
    }
  }

  /** Draw what is in front of the skin fully, and what is behind it with `through`. */
  function throughSkin(program, through, drawOnce) {
    for (const [compare, opacity] of [[gl.GREATER, through], [gl.LEQUAL, 1]]) {
      if (opacity === 0) continue;
      gl.depthFunc(compare);
      gl.uniform1f(program.at.opacity, opacity);
      drawOnce();
    }
    gl.depthFunc(gl.LEQUAL);
  }

  function drawSpheres(centres, radius, colour, towardsViewer, through) {
    if (!centres.length) return;
    gl.bindBuffer(gl.ARRAY_BUFFER, instances);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(centres), gl.STREAM_DRAW);
    gl.useProgram(sphere.handle);
    gl.uniform1f(sphere.at.radius, radius);
    gl.uniform1f(sphere.at.towards_viewer, towardsViewer);
    gl.uniform3fv(sphere.at.colour, unit(colour));
    gl.bindVertexArray(sphereArray);
    throughSkin(sphere, through, () => gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, centres.length / 3));
  }

  function drawSegments(ends, width, colour, through) {
    if (!ends.length) return;
    gl.bindBuffer(gl.ARRAY_BUFFER, instances);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(ends), gl.STREAM_DRAW);
    gl.useProgram(segment.handle);
    gl.uniform2f(segment.at.pixels, canvas.width, canvas.height);
    gl.uniform1f(segment.at.width, width * pixelScale());
    gl.uniform3fv(segment.at.colour, unit(colour));
    gl.bindVertexArray(segmentArray);
    throughSkin(segment, through, () => gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, ends.length / 6));
  }

  function pixelScale() {
    return canvas.clientWidth ? canvas.width / canvas.clientWidth : 1;
  }

  return { gl, draw, joint: (frame, joint, body = 0) => bodies[body].body.joint(frame, joint) };
}

/** Return whether WebGL has no graphics card here; smooth edges then take most of the time of a picture. */
function drawsInSoftware() {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return false;
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const renderer = String(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  const release = gl.getExtension("WEBGL_lose_context");
  if (release) release.loseContext();
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(renderer);
}

/** Put what all bodies share onto the graphics card. */
function createSkin(gl, data) {
  const faces = readArray(data, data.skin.faces);
  const slots = (jointReference, weightReference, count) => {
    const joints = readArray(data, jointReference), weights = readArray(data, weightReference), by4 = [];
    const numVertices = joints.length / count;
    for (let first = 0; first < count; first += 4) {
      const four = new Uint32Array(4 * numVertices);
      for (let slot = 0; slot < 4; slot++) {
        for (let v = 0; v < numVertices; v++) {
          const at = (first + slot) * numVertices + v, weight = Math.round(65535 * weights[at]);
          four[4 * v + slot] = weight ? (joints[at] << 16) | weight : 0;
        }
      }
      by4.push(createBuffer(gl, four));
    }
    return by4;
  };
  const skin = {
    faces, numCorners: faces.length, numJoints: data.skin.parents.length, bodyJoints: data.skin.body_joints,
    indexType: faces instanceof Uint16Array ? gl.UNSIGNED_SHORT : gl.UNSIGNED_INT,
    joints: slots(data.skin.joints, data.skin.weights, SKIN_SLOTS),
    program: createProgram(gl, SKIN_SHADER, NOTHING_SHADER, ["movedPosition", "shown"]),
    normalProgram: createProgram(gl, NORMAL_SHADER, NOTHING_SHADER, ["movedNormal"]),
    index: gl.createBuffer(), ...createTriangleTexture(gl, faces, data.skin.weights.shape[1]),
  };
  for (let four = 0; four < INFLUENCE_SLOTS / 4; four++) { // of bodies that have no such buffers
    const place = gl.getAttribLocation(skin.program.handle, `near${four}`);
    if (place >= 0) gl.vertexAttribI4ui(place, 0, 0, 0, 0);
  }
  if (data.skin.influence_joints) {
    skin.near = slots(data.skin.influence_joints, data.skin.influence_weights, INFLUENCE_SLOTS);
  }
  gl.bindVertexArray(null);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, skin.index);
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.STATIC_DRAW);
  return skin;
}

/** Put onto the graphics card which triangles are around each vertex: their other corners, and where those begin. */
function createTriangleTexture(gl, faces, numVertices) {
  const triangles = new Uint32Array(2 * numVertices);
  for (const vertex of faces) triangles[2 * vertex + 1]++;
  for (let v = 1; v < numVertices; v++) triangles[2 * v] = triangles[2 * v - 2] + triangles[2 * v - 1];
  const filled = new Uint32Array(numVertices), height = Math.ceil(faces.length / TABLE_WIDTH);
  const corners = new Uint32Array(2 * TABLE_WIDTH * height);
  for (let f = 0; f < faces.length; f += 3) {
    for (let k = 0; k < 3; k++) {
      const vertex = faces[f + k], at = 2 * (triangles[2 * vertex] + filled[vertex]++);
      corners[at] = faces[f + ((k + 1) % 3)];
      corners[at + 1] = faces[f + ((k + 2) % 3)];
    }
  }
  const table = createTexture(gl, gl.RG32UI, height);
  gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, TABLE_WIDTH, height, gl.RG_INTEGER, gl.UNSIGNED_INT, corners);
  return { triangles: createBuffer(gl, triangles), corners: table };
}

/** Return an empty texture of numbers, which is bound. */
function createTexture(gl, format, height) {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texStorage2D(gl.TEXTURE_2D, 1, format, TABLE_WIDTH, height);
  for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
  return texture;
}

/** Return body number `index` with its buffers: move(frame, values, observed), then its arrays can be drawn. */
function createDrawnBody(gl, data, skin, index) {
  const body = createBody(data, index), numVertices = body.vertices.length / 3;
  const attributes = { position: [createBuffer(gl, body.vertices), 3] };
  skin.joints.forEach((buffer, four) => { attributes[`joints${four}`] = [buffer, 4]; });
  const valued = index === 0 && Boolean(skin.near);
  if (valued) skin.near.forEach((buffer, four) => { attributes[`near${four}`] = [buffer, 4]; });
  const source = createArray(gl, skin.program, attributes);
  const height = Math.ceil(numVertices / TABLE_WIDTH);
  const [positions, shown, normals] = [4 * TABLE_WIDTH * height, 3 * numVertices, 3 * numVertices].map((numbers) => {
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, 4 * numbers, gl.DYNAMIC_COPY);
    return buffer;
  });
  const normalSource = createArray(gl, skin.normalProgram, { position: [positions, 4], triangles: [skin.triangles, 2] });
  const feedback = gl.createTransformFeedback(), rows = new Float32Array(16 * MAX_JOINTS);
  const pose = gl.createBuffer(), positionTable = createTexture(gl, gl.RGBA32F, height);
  gl.bindBuffer(gl.UNIFORM_BUFFER, pose);
  gl.bufferData(gl.UNIFORM_BUFFER, rows, gl.DYNAMIC_DRAW);

  /** Run a program for each vertex, and keep its outputs in buffers. */
  function runForVertices(array, outputs) {
    gl.bindVertexArray(array);
    gl.bindBuffer(gl.ARRAY_BUFFER, null);
    gl.bindTransformFeedback(gl.TRANSFORM_FEEDBACK, feedback);
    outputs.forEach((buffer, number) => gl.bindBufferBase(gl.TRANSFORM_FEEDBACK_BUFFER, number, buffer));
    gl.enable(gl.RASTERIZER_DISCARD);
    gl.beginTransformFeedback(gl.POINTS);
    gl.drawArrays(gl.POINTS, 0, numVertices);
    gl.endTransformFeedback();
    gl.disable(gl.RASTERIZER_DISCARD);
    outputs.forEach((_, number) => gl.bindBufferBase(gl.TRANSFORM_FEEDBACK_BUFFER, number, null));
    gl.bindTransformFeedback(gl.TRANSFORM_FEEDBACK, null);
  }

  function bindTexture(unit, texture) {
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture);
  }

  return {
    body,
    drawWith(mesh, shadow) {
      const position = [positions, 3, 16];
      this.meshArray = createArray(gl, mesh, { position, normal: [normals, 3], shown: [shown, 3] }, skin.index);
      this.shadowArray = createArray(gl, shadow, { position }, skin.index);
    },
    /** Move the skin to a frame; values (T, 22) colour it, observed (T, 22) says which parts the markers observe. */
    move(frame, values, observed) {
      body.writeMatrices(frame, rows);
      const columns = data.joints.length;
      for (let joint = 0; joint < skin.numJoints; joint++) {
        const own = frame * columns + skin.bodyJoints[joint], value = values ? values[own] : NaN, known = !Number.isNaN(value);
        rows[16 * joint + 12] = known ? value : 0;
        rows[16 * joint + 13] = known ? 1 : 0;
        rows[16 * joint + 14] = !observed || observed[own] ? 1 : 0;
      }
      gl.useProgram(skin.program.handle);
      gl.bindBufferBase(gl.UNIFORM_BUFFER, 0, pose); // the only block has number 0
      gl.bufferSubData(gl.UNIFORM_BUFFER, 0, rows);
      gl.uniform1i(skin.program.at.valued, valued && values ? 1 : 0);
      runForVertices(source, [positions, shown]);

      gl.useProgram(skin.normalProgram.handle);
      bindTexture(0, positionTable);
      gl.bindBuffer(gl.PIXEL_UNPACK_BUFFER, positions);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, TABLE_WIDTH, height, gl.RGBA, gl.FLOAT, 0);
      gl.bindBuffer(gl.PIXEL_UNPACK_BUFFER, null);
      gl.uniform1i(skin.normalProgram.at.positions, 0);
      bindTexture(1, skin.corners);
      gl.uniform1i(skin.normalProgram.at.corners, 1);
      runForVertices(normalSource, [normals]);
    },
  };
}

/** Return a texture of the 256 colours of a scale, six hexadecimal digits each. */
function createScale(gl, text) {
  const pixels = new Uint8Array(4 * 256).fill(255);
  for (let k = 0; k < 256; k++) {
    for (let part = 0; part < 3; part++) pixels[4 * k + part] = parseInt(text.slice(6 * k + 2 * part, 6 * k + 2 * part + 2), 16);
  }
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.LINEAR);
  for (const axis of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, axis, gl.CLAMP_TO_EDGE);
  return texture;
}

/** Return a program and the places of its uniforms; with `feedback`, the names of the outputs that are kept. */
function createProgram(gl, vertexText, fragmentText, feedback = null) {
  const handle = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertexText], [gl.FRAGMENT_SHADER, fragmentText]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(handle, shader);
  }
  if (feedback) gl.transformFeedbackVaryings(handle, feedback, gl.SEPARATE_ATTRIBS);
  gl.linkProgram(handle);
  if (!gl.getProgramParameter(handle, gl.LINK_STATUS)) {
    const logs = gl.getAttachedShaders(handle).map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(`A shader cannot be used: ${[gl.getProgramInfoLog(handle), ...logs].join(" ")}`);
  }
  const at = {}, count = gl.getProgramParameter(handle, gl.ACTIVE_UNIFORMS);
  for (let k = 0; k < count; k++) {
    const { name } = gl.getActiveUniform(handle, k);
    at[name] = gl.getUniformLocation(handle, name);
  }
  return { handle, at };
}

function createBuffer(gl, array) {
  const buffer = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, array, gl.STATIC_DRAW);
  const type = { Float32Array: gl.FLOAT, Uint8Array: gl.UNSIGNED_BYTE, Uint16Array: gl.UNSIGNED_SHORT, Uint32Array: gl.UNSIGNED_INT }[array.constructor.name];
  return Object.assign(buffer, { type });
}

/** Return a vertex array; attributes: name -> [buffer, size, stride, offset, divisor]. */
function createArray(gl, program, attributes, index = null) {
  const array = gl.createVertexArray();
  gl.bindVertexArray(array);
  for (const [name, [buffer, size, stride = 0, offset = 0, divisor = 0]] of Object.entries(attributes)) {
    const place = gl.getAttribLocation(program.handle, name);
    if (place < 0) continue;
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(place);
    const isInteger = /^(joints\d|near\d|triangles)$/.test(name);
    if (isInteger) gl.vertexAttribIPointer(place, size, buffer.type, stride, offset);
    else gl.vertexAttribPointer(place, size, buffer.type || gl.FLOAT, true, stride, offset);
    if (divisor) gl.vertexAttribDivisor(place, divisor);
  }
  if (index) gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, index);
  gl.bindVertexArray(null);
  return array;
}

/** Return a colour of three numbers from 0 to 255 as numbers from 0 to 1. */
function unit(colour) {
  return colour.map((part) => part / 255);
}
