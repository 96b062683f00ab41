// The motion of one body: from the rotations of its joints to the matrices that move its skin.

/** Return body number `index` of the data. */
function createBody(data, index) {
  const motion = data.bodies[index], parents = data.skin.parents, count = parents.length;
  const rest = readArray(data, motion.joints_m);
  const moving = motion.moving_joints, rotations = readArray(data, motion.rotations);
  const root = motion.root_m.map((axis) => readArray(data, axis));
  const ownFrames = motion.frames && readArray(data, motion.frames);
  const yaw = motion.yaw_rad && readArray(data, motion.yaw_rad);
  const column = new Int16Array(count).fill(-1);
  moving.forEach((joint, place) => { column[joint] = place; });
  const world = new Float32Array(9 * count), joints = new Float32Array(3 * count), local = new Float32Array(9);
  let posed = -1;

  /** Compute the rotations and positions of all joints in a frame of the page. */
  function pose(frame) {
    if (frame === posed) return;
    posed = frame;
    const row = (ownFrames ? ownFrames[frame] : frame) * moving.length;
    for (let joint = 0; joint < count; joint++) {
      const parent = parents[joint];
      if (column[joint] >= 0) quaternionMatrix(rotations, 4 * (row + column[joint]), local);
      if (parent < 0) {
        world.set(column[joint] >= 0 ? local : [1, 0, 0, 0, 1, 0, 0, 0, 1], 9 * joint);
        if (yaw) turnMatrix(world, 9 * joint, yaw[frame]);
        for (let axis = 0; axis < 3; axis++) joints[3 * joint + axis] = root[axis][frame];
        continue;
      }
      for (let r = 0; r < 3; r++) {
        const a = 9 * parent + 3 * r;
        let sum = joints[3 * parent + r];
        for (let k = 0; k < 3; k++) sum += world[a + k] * (rest[3 * joint + k] - rest[3 * parent + k]);
        joints[3 * joint + r] = sum;
        for (let c = 0; c < 3; c++) {
          world[9 * joint + 3 * r + c] = column[joint] < 0 ? world[a + c]
            : world[a] * local[c] + world[a + 1] * local[3 + c] + world[a + 2] * local[6 + c];
        }
      }
    }
  }

  return {
    title: motion.title,
    vertices: readArray(data, motion.vertices_m),
    /** Return the position [x, y, z] of a joint in a frame, metres. */
    joint(frame, joint) {
      pose(frame);
      return Array.from(joints.subarray(3 * joint, 3 * joint + 3));
    },
    /** Write three rows of each joint's matrix from rest to a frame, in the first twelve of sixteen numbers per joint. */
    writeMatrices(frame, target) {
      pose(frame);
      for (let joint = 0; joint < count; joint++) {
        for (let r = 0; r < 3; r++) {
          let shift = joints[3 * joint + r];
          for (let c = 0; c < 3; c++) {
            const value = world[9 * joint + 3 * r + c];
            target[16 * joint + 4 * r + c] = value;
            shift -= value * rest[3 * joint + c];
          }
          target[16 * joint + 4 * r + 3] = shift;
        }
      }
    },
  };
}

/** Write the matrix, row by row, of the quaternion (x, y, z, w) at a place of an array; it need not have unit length. */
function quaternionMatrix(array, at, matrix) {
  let x = array[at], y = array[at + 1], z = array[at + 2], w = array[at + 3];
  const length = Math.hypot(x, y, z, w);
  x /= length; y /= length; z /= length; w /= length;
  matrix[0] = 1 - 2 * (y * y + z * z); matrix[1] = 2 * (x * y - z * w); matrix[2] = 2 * (x * z + y * w);
  matrix[3] = 2 * (x * y + z * w); matrix[4] = 1 - 2 * (x * x + z * z); matrix[5] = 2 * (y * z - x * w);
  matrix[6] = 2 * (x * z - y * w); matrix[7] = 2 * (y * z + x * w); matrix[8] = 1 - 2 * (x * x + y * y);
}

/** Turn the matrix at a place of an array about the vertical. */
function turnMatrix(array, at, angle) {
  const c = Math.cos(angle), s = Math.sin(angle);
  for (let k = 0; k < 3; k++) {
    const first = array[at + k], last = array[at + 6 + k];
    array[at + k] = c * first + s * last;
    array[at + 6 + k] = c * last - s * first;
  }
}
