// What a screen reader says when the time, the joint or the method changes; while the body moves it stays silent.

const SAY_AFTER_MS = 500;

addPanel(({ data, state }) => {
  const live = document.getElementById("live");
  let timer = 0;
  const say = () => {
    clearTimeout(timer);
    if (state.playing) return;
    timer = setTimeout(() => {
      const method = data.methods ? `${data.methods[state.method].title}: ` : "";
      live.textContent = method + state.describe(state.frame, state.joint);
    }, SAY_AFTER_MS);
  };
  for (const event of ["seek", "select", "method"]) state.addEventListener(event, say);
  state.addEventListener("play", () => {
    if (state.playing) live.textContent = "";
    else say();
  });
});
