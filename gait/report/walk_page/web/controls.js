// The playback controls below the body.

function connectControls(data, state) {
  const find = (id) => document.getElementById(id);
  const play = find("play"), slider = find("frame"), clock = find("clock"), loop = find("loop"), speed = find("speed");
  find("back").addEventListener("click", () => state.step(-1));
  find("forward").addEventListener("click", () => state.step(1));
  play.addEventListener("click", () => state.togglePlay());
  slider.max = state.numFrames - 1;
  slider.addEventListener("input", () => {
    state.pause();
    state.seek(Number(slider.value));
  });
  loop.addEventListener("change", () => state.setLoop(loop.checked));
  for (const each of state.speeds) speed.add(new Option(`${each} ×`, each, each === 1, each === 1));
  speed.addEventListener("change", () => state.setSpeed(Number(speed.value)));

  const layers = { floor: find("floor-layer"), skeleton: find("skeleton-layer"), path: find("path-layer"), beside: find("beside-layer") };
  for (const [name, box] of Object.entries(layers)) {
    box.addEventListener("change", () => state.setLayer(name, box.checked));
  }
  layers.beside.parentElement.hidden = data.bodies.length < 2;
  find("beside-title").textContent = data.bodies.length < 2 ? "" : data.bodies[1].changed
    ? `Changed walk (green), on which the network decides otherwise` : `${data.bodies[1].title} (grey)`;
  const method = find("method");
  (data.methods || []).forEach((each, number) => method.add(new Option(each.title, number)));
  method.parentElement.hidden = (data.methods || []).length < 2;
  method.addEventListener("change", () => state.chooseMethod(Number(method.value)));

  const showFrame = () => {
    const text = `${state.seconds.toFixed(2)} s, frame ${state.frame + data.first_frame}`;
    clock.textContent = text;
    slider.value = state.frame;
    slider.setAttribute("aria-valuetext", text);
  };
  const showPlay = () => {
    play.textContent = state.playing ? "Pause" : "Play";
    loop.checked = state.loop;
    speed.value = state.speed;
  };
  state.addEventListener("frame", showFrame);
  state.addEventListener("play", showPlay);
  state.addEventListener("method", () => { method.value = state.method; });
  state.addEventListener("view", () => {
    for (const [name, box] of Object.entries(layers)) box.checked = state.layers[name];
  });
  showFrame();
  showPlay();
}
