// The camera, as gait/viewing/camera.py has it: on a sphere around its target, y up, perspective. Matrices are arrays of
// 16 numbers, column by column, as WebGL takes them. A camera is never changed; each function returns a new one.

const DEGREE = Math.PI / 180;

const HEAD_ABOVE_MIDDLE = 0.424; // top of the head, in heights of the view (whole_body_camera of gait/viewing/camera.py)

/**
 * Return the camera that shows the whole bodies, with their pelvises at [x, y, z], in a picture of width over height;
 * `above` is the part of its height that stays free above their heads.
 */
function wholeBodyCamera(view, pelvises, aspect, above) {
  const middle = [0, 2].map((axis) => pelvises.reduce((sum, at) => sum + at[axis], 0) / pelvises.length);
  const width = pelvises.length > 1 ? 2.0 : 1.1; // metres that must be seen
  const camera = {
    target: [middle[0], view.height_m, middle[1]], yaw: view.yaw_deg, pitch: view.pitch_deg,
    viewHeight: view.view_height_m, distance: view.distance_m,
  };
  return zoom(camera, Math.max(1, width / (aspect * view.view_height_m), HEAD_ABOVE_MIDDLE / (0.5 - above)));
}

function backwards(camera) {
  const yaw = camera.yaw * DEGREE, pitch = camera.pitch * DEGREE;
  return [Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)];
}

function viewMatrix(camera) {
  const yaw = camera.yaw * DEGREE;
  const right = [Math.cos(yaw), 0, -Math.sin(yaw)], back = backwards(camera);
  const up = [
    back[1] * right[2] - back[2] * right[1], back[2] * right[0] - back[0] * right[2],
    back[0] * right[1] - back[1] * right[0],
  ];
  const dot = (axis) => axis[0] * camera.target[0] + axis[1] * camera.target[1] + axis[2] * camera.target[2];
  return [
    right[0], up[0], back[0], 0, right[1], up[1], back[1], 0, right[2], up[2], back[2], 0,
    -dot(right), -dot(up), -dot(back) - camera.distance, 1,
  ];
}

function projectionMatrix(camera, aspect) {
  const near = camera.distance * 0.05, far = camera.distance * 4, half = camera.viewHeight / 2;
  return [
    camera.distance / (half * aspect), 0, 0, 0, 0, camera.distance / half, 0, 0,
    0, 0, (far + near) / (near - far), -1, 0, 0, (2 * far * near) / (near - far), 0,
  ];
}

/** Return the camera moved around its target; the pitch stays within ±89°. */
function orbit(camera, yaw, pitch) {
  return {
    ...camera, yaw: (((camera.yaw + yaw) % 360) + 360) % 360,
    pitch: Math.min(Math.max(camera.pitch + pitch, -89), 89),
  };
}

/** Return the camera nearer (factor below 1) or farther away; the view is 0.2 to 100 m high. */
function zoom(camera, factor) {
  const height = Math.min(Math.max(camera.viewHeight * factor, 0.2), 100);
  return { ...camera, viewHeight: height, distance: (camera.distance * height) / camera.viewHeight };
}

/** Return the camera moved together with its target, metres: right and ahead are horizontal, up is vertical. */
function moveCamera(camera, right, up, ahead) {
  const s = Math.sin(camera.yaw * DEGREE), c = Math.cos(camera.yaw * DEGREE);
  const [x, y, z] = camera.target;
  return { ...camera, target: [x + c * right - s * ahead, y + up, z - s * right - c * ahead] };
}

/** Return the camera rotated to the left about the vertical axis through itself. */
function turnCamera(camera, left) {
  const turned = orbit(camera, left, 0), a = backwards(camera), b = backwards(turned);
  return { ...turned, target: camera.target.map((each, axis) => each + camera.distance * (a[axis] - b[axis])) };
}

/** Return the column and row of a point in an image, from its upper left corner. */
function projectPoint(camera, point, width, height) {
  const view = viewMatrix(camera), projection = projectionMatrix(camera, width / height);
  const at = (row) => view[row] * point[0] + view[row + 4] * point[1] + view[row + 8] * point[2] + view[row + 12];
  const depth = -at(2);
  return [((projection[0] * at(0)) / depth + 1) / 2 * width, (1 - (projection[5] * at(1)) / depth) / 2 * height];
}
