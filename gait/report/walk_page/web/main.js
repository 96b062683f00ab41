// Starts the page: reads the data, draws the body, and creates the panels of the folder "panels", each of which calls
// addPanel((page) => ...) with a function that is given { data, state, readArray, showWholeBody }.

const PANELS = [];

function addPanel(create) {
  PANELS.push(create);
}

async function start() {
  const data = await readData(), state = new PageState(data);
  const page = { data, state, readArray: (reference) => readArray(data, reference), showWholeBody: () => {} };
  connectControls(data, state);
  const help = document.getElementById("help");
  const toggleHelp = () => (help.open ? help.close() : help.showModal());
  document.getElementById("show-help").addEventListener("click", toggleHelp);
  let fly = () => {};
  try {
    fly = showBody(page, toggleHelp);
    document.documentElement.classList.add("drawn");
  } catch (error) {
    tell(`${error.message} In place of the moving body the page shows a picture.`);
    listenToKeys(state, { showWholeBody: () => {}, toggleHelp });
  }
  for (const create of PANELS) create(page);
  followAddress(state);
  let last = performance.now();
  const tick = (now) => {
    const seconds = Math.min((now - last) / 1000, 0.25);
    last = now;
    fly(Math.min(seconds, 0.2));
    state.advance(seconds);
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

/** Draw the body whenever something changes. Returns the function that moves the camera by the keys that are held. */
function showBody(page, toggleHelp) {
  const { data, state } = page, canvas = document.getElementById("body");
  let renderer = createRenderer(canvas, data), asked = false;
  page.renderer = renderer;
  const draw = () => {
    asked = false;
    renderer.draw(state.frame, state.camera, { method: data.methods ? state.method : -1, joint: state.joint, layers: state.layers });
    performance.mark("body drawn");
    state.dispatchEvent(new CustomEvent("drawn", { detail: { frame: state.frame } }));
  };
  const ask = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(draw);
  };
  page.showWholeBody = () => state.setCamera(wholeBodyCamera(data.view, renderer.joint(state.frame, 0)));
  page.showWholeBody();
  // The camera follows the pelvis.
  state.addEventListener("frame", (event) => {
    const now = renderer.joint(event.detail.frame, 0), before = renderer.joint(event.detail.before, 0);
    const [x, y, z] = state.camera.target;
    state.camera = { ...state.camera, target: [x + now[0] - before[0], y, z + now[2] - before[2]] };
  });
  for (const event of ["frame", "select", "method", "view"]) state.addEventListener(event, ask);
  const resize = () => {
    const density = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(Math.round(canvas.clientWidth * density), 1), height = Math.max(Math.round(canvas.clientHeight * density), 1);
    if (canvas.width === width && canvas.height === height) return;
    canvas.width = width;
    canvas.height = height;
    draw();
  };
  resize();
  new ResizeObserver(resize).observe(canvas);
  window.addEventListener("beforeprint", draw);
  canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => {
    renderer = page.renderer = createRenderer(canvas, data);
    draw();
  });
  draw();
  listenToPointer(canvas, state, { joint: (frame, joint) => renderer.joint(frame, joint) }, data.joints.length);
  return listenToKeys(state, { showWholeBody: () => page.showWholeBody(), toggleHelp });
}

/** Show a sentence on what this browser cannot do. */
function tell(text) {
  const place = document.getElementById("problem");
  place.textContent = text;
  place.hidden = false;
}

document.addEventListener("DOMContentLoaded", () => {
  start().catch((error) => tell(`This browser cannot show the moving body (${error.message}).`));
});
