// Starts the page: reads the data, draws the body, and creates the panels of the folder "panels", each of which calls
// addPanel((page) => ...) with a function that is given { data, state, readArray, showWholeBody }.

const PANELS = [];
const LEFT_HIP = 1, RIGHT_HIP = 2, HEAD_JOINT = 15, NAME_ABOVE_M = 0.22, NAME_HEIGHT_PX = 26, NAME_ROOM_PX = 38; // where the name of a body is; what it needs above the heads
const SETTLED_MS = 250, MAX_SMOOTHED_PX = 4e6; // without movement for that long; of a picture that is drawn twice as large

function addPanel(create) {
  PANELS.push(create);
}

function start() {
  const data = readData(), state = new PageState(data);
  const page = { data, state, readArray: (reference) => readArray(data, reference), showWholeBody: () => {} };
  connectControls(data, state);
  const help = document.getElementById("help");
  const toggleHelp = () => {
    if (!help.showModal) help.toggleAttribute("open"); // Safari before 15.4
    else if (help.open) help.close();
    else help.showModal();
  };
  document.getElementById("show-help").addEventListener("click", toggleHelp);
  let draw = () => {};
  try {
    draw = showBody(page);
    document.documentElement.classList.add("drawn"); // before the first picture, whose size is that on the page
  } catch (error) {
    tell(`${error.message} In place of the moving body the page shows a picture.`);
  }
  const fly = listenToKeys(state, { showWholeBody: () => page.showWholeBody(), toggleHelp });
  for (const create of PANELS) create(page);
  state.select(data.start.joint);
  followAddress(state);
  draw();
  let last = performance.now();
  const tick = (now) => {
    const seconds = Math.min((now - last) / 1000, 0.25);
    last = now;
    if (page.renderer) fly(Math.min(seconds, 0.2));
    state.advance(seconds);
    draw();
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

/**
 * Prepare to draw the body. Returns a function that draws it if something has changed.
 *
 * When nothing has moved for a while, the picture is drawn once more, twice as large, for smooth edges, and its copy
 * lies above on a canvas without WebGL, of which any browser takes screenshots.
 */
function showBody(page) {
  const { data, state } = page, canvas = document.getElementById("body"), picture = document.getElementById("picture");
  let changed = true, timer = 0;
  const names = data.bodies.length < 2 ? [] : ["this walk", data.bodies[1].title].map((name, index) => {
    const label = element("div", { class: index ? "name beside" : "name", "aria-hidden": "true" }, name);
    label.style.borderColor = index ? `rgb(${data.colours.beside.join(", ")})` : "";
    document.getElementById("view").append(label);
    return label;
  });
  page.renderer = createRenderer(canvas, data);
  const draw = () => {
    changed = false;
    names.forEach((label, index) => {
      const [x, y, z] = page.renderer.joint(state.frame, HEAD_JOINT, index);
      const [right, down] = projectPoint(state.camera, [x, y + NAME_ABOVE_M, z], canvas.clientWidth, canvas.clientHeight);
      label.hidden = index > 0 && !state.layers.beside;
      label.style.transform = `translate(${right}px, ${Math.max(down, NAME_HEIGHT_PX)}px) translate(-50%, -100%)`;
    });
    page.renderer.draw(state.frame, state.camera, { method: data.methods ? state.method : -1, joint: state.joint, layers: state.layers });
    canvas.dataset.frame = state.frame;
    state.dispatchEvent(new CustomEvent("drawn", { detail: { frame: state.frame } }));
  };
  const copy = () => {
    const { width, height } = canvas, factor = width * height <= MAX_SMOOTHED_PX ? 2 : 1;
    if (factor > 1) [canvas.width, canvas.height] = [factor * width, factor * height];
    draw();
    [picture.width, picture.height] = [width, height];
    picture.getContext("2d").drawImage(canvas, 0, 0, width, height);
    picture.hidden = false;
    if (factor > 1) [canvas.width, canvas.height] = [width, height];
  };
  const fit = () => {
    const density = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(Math.round(canvas.clientWidth * density), 1), height = Math.max(Math.round(canvas.clientHeight * density), 1);
    if (canvas.width === width && canvas.height === height) return;
    canvas.width = width;
    canvas.height = height;
    changed = true;
  };
  page.showWholeBody = () => {
    const bodies = data.bodies.slice(0, state.layers.beside ? 2 : 1);
    const pelvises = bodies.map((_, body) => page.renderer.joint(state.frame, 0, body));
    const { clientWidth: width, clientHeight: height } = canvas, above = bodies.length > 1 ? NAME_ROOM_PX / Math.max(height, 200) : 0;
    state.setCamera(wholeBodyCamera(data.view, pelvises, width / height || 1, above));
  };
  for (const button of document.querySelectorAll("#sides button")) {
    button.addEventListener("click", () => {
      page.showWholeBody();
      state.setCamera({ ...state.camera, yaw: frontYaw(page, state) + Number(button.dataset.turn), pitch: 0 });
    });
  }
  // The camera follows the pelvis.
  state.addEventListener("frame", (event) => {
    if (!state.camera) return; // there is no picture yet
    const now = page.renderer.joint(event.detail.frame, 0), before = page.renderer.joint(event.detail.before, 0);
    const [x, y, z] = state.camera.target;
    state.camera = { ...state.camera, target: [x + now[0] - before[0], y, z + now[2] - before[2]] };
  });
  for (const event of ["frame", "select", "method", "view"]) state.addEventListener(event, () => { changed = true; });
  new ResizeObserver(fit).observe(canvas);
  canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => {
    page.renderer = createRenderer(canvas, data);
    changed = true;
  });
  listenToPointer(canvas, state, (joint) => page.renderer.joint(state.frame, joint), data.joints.length);
  return () => {
    if (!("frame" in canvas.dataset)) {
      fit();
      page.showWholeBody();
      copy();
      performance.mark("first picture");
    } else if (changed) {
      draw();
      picture.hidden = true;
      clearTimeout(timer);
      timer = setTimeout(copy, SETTLED_MS);
    }
  };
}

/** Return the yaw, in degrees, of a camera in front of the body: across the hips, in the mean of one second around now. */
function frontYaw(page, state) {
  const half = Math.round(state.rate / 2), last = Math.min(state.frame + half, state.numFrames - 1);
  let [sine, cosine] = [0, 0];
  for (let frame = Math.max(state.frame - half, 0); frame <= last; frame++) {
    const [leftHip, rightHip] = [LEFT_HIP, RIGHT_HIP].map((joint) => page.renderer.joint(frame, joint));
    sine -= leftHip[2] - rightHip[2];
    cosine += leftHip[0] - rightHip[0];
  }
  return Math.atan2(sine, cosine) / DEGREE;
}

/** Show a sentence on what this browser cannot do. */
function tell(text) {
  const place = document.getElementById("problem");
  place.textContent = text;
  place.hidden = false;
}

document.addEventListener("DOMContentLoaded", () => {
  try {
    start();
  } catch (error) {
    tell(`This browser cannot show the moving body (${error.message}).`);
    throw error;
  }
});
