// The mouse, touch and keys of the window, for the page.

const ORBIT_DEG_PER_PIXEL = 0.4, ZOOM_PER_NOTCH = 0.88, REACH_PX = 16, CLICK_PX = 4;
const FLY_M_S = 2, TURN_DEG_S = 60;

/** Let the mouse and fingers on the canvas orbit, move and zoom the camera, and select joints. */
function listenToPointer(canvas, state, jointPosition, numJoints) {
  const fingers = new Map(); // pointer id -> [x, y]
  let dragged = 0;
  const middle = () => {
    const all = [...fingers.values()], mean = [0, 1].map((axis) => all.reduce((sum, at) => sum + at[axis], 0) / all.length);
    return { mean, spread: all.length < 2 ? 0 : Math.hypot(all[0][0] - all[1][0], all[0][1] - all[1][1]) };
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    if (fingers.size === 0) dragged = 0;
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = middle();
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    const now = middle(), dx = now.mean[0] - before.mean[0], dy = now.mean[1] - before.mean[1];
    dragged += Math.abs(dx) + Math.abs(dy);
    if (fingers.size > 1) dragged += CLICK_PX + 1;
    if (dragged <= CLICK_PX) return;
    if (fingers.size > 1 || event.buttons & 6) {
      const metres = state.camera.viewHeight / canvas.clientHeight;
      let camera = moveCamera(state.camera, -dx * metres, dy * metres, 0);
      if (before.spread && now.spread) camera = zoom(camera, before.spread / now.spread);
      state.setCamera(camera);
    } else {
      state.setCamera(orbit(state.camera, -dx * ORBIT_DEG_PER_PIXEL, dy * ORBIT_DEG_PER_PIXEL));
    }
  });
  const end = (event) => {
    if (!fingers.delete(event.pointerId) || fingers.size || event.type === "pointercancel" || dragged > CLICK_PX) return;
    const box = canvas.getBoundingClientRect();
    state.select(nearestJoint(event.clientX - box.left, event.clientY - box.top));
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const notches = event.deltaMode === 0 ? event.deltaY / 100 : event.deltaY / 3;
    state.setCamera(zoom(state.camera, ZOOM_PER_NOTCH ** -Math.min(Math.max(notches, -3), 3)));
  }, { passive: false });

  /** Return the joint nearest to a place of the canvas; -1 if none is within reach. */
  function nearestJoint(x, y) {
    let nearest = -1, least = REACH_PX;
    for (let joint = 0; joint < numJoints; joint++) {
      const [column, row] = projectPoint(
        state.camera, jointPosition(joint), canvas.clientWidth, canvas.clientHeight,
      );
      const distance = Math.hypot(column - x, row - y);
      if (distance <= least) [nearest, least] = [joint, distance];
    }
    return nearest;
  }
}

/** Listen to the keys of the window. Returns a function that moves the camera by the keys that are held, for some seconds. */
function listenToKeys(state, actions) {
  const held = new Set();
  const once = {
    " ": () => state.togglePlay(),
    Home: () => state.seek(0),
    End: () => state.seek(state.numFrames - 1),
    b: actions.showWholeBody,
    l: () => state.setLoop(!state.loop),
    g: () => state.setLayer("floor", !state.layers.floor),
    h: actions.toggleHelp,
    Escape: () => state.select(-1),
  };
  const repeated = { ",": () => state.step(-1), ".": () => state.step(1) };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || typesText(event.target)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key !== "h" && document.querySelector("dialog[open]")) return;
    if (key === " " && event.target.closest("button, summary, a, input")) return; // it presses what has the focus
    const act = repeated[key] || (!event.repeat && once[key]);
    if (act) {
      act();
      event.preventDefault();
    } else if ("wasdrfqe".includes(key) && key.length === 1) {
      held.add(key);
      state.dispatchEvent(new CustomEvent("view"));
    }
  });
  document.addEventListener("keyup", (event) => held.delete(event.key.toLowerCase()));
  window.addEventListener("blur", () => held.clear());
  const axis = (plus, minus) => Number(held.has(plus)) - Number(held.has(minus));

  return (seconds) => {
    if (!held.size) return;
    const far = FLY_M_S * seconds;
    const camera = moveCamera(state.camera, axis("d", "a") * far, axis("r", "f") * far, axis("w", "s") * far);
    state.setCamera(turnCamera(camera, axis("q", "e") * TURN_DEG_S * seconds));
  };
}

/** Return whether an element takes letters itself. */
function typesText(element) {
  return element.matches("select, textarea, [contenteditable], input:not([type=range], [type=checkbox], [type=button])");
}

/** Go to the time that the address names, such as #t=1.2, now and whenever it changes; name the time there when paused. */
function followAddress(state) {
  let written = null; // by this page; by the time that the browser says so, another moment may be shown
  const read = () => {
    if (location.hash === written) return;
    const seconds = Number.parseFloat(new URLSearchParams(location.hash.slice(1)).get("t"));
    if (Number.isFinite(seconds) && Math.round(seconds * state.rate) !== state.frame) {
      state.pause();
      state.seekSeconds(seconds);
    }
  };
  let timer = 0;
  const write = () => {
    clearTimeout(timer);
    if (state.playing || location.protocol === "about:") return; // a frame of a notebook has no address of its own
    timer = setTimeout(() => {
      const fields = new URLSearchParams(location.hash.slice(1));
      fields.set("t", String(Math.round(1000 * state.seconds) / 1000));
      if (`#${fields}` === location.hash) return;
      written = `#${fields}`;
      location.replace(written);
    }, 400);
  };
  read();
  window.addEventListener("hashchange", read);
  state.addEventListener("seek", write);
  state.addEventListener("play", write);
}
