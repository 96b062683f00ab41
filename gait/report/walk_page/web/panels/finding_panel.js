// Buttons that go to a time and a joint: findings, deviations, events.

addPanel(({ state }) => {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-frame]");
    if (!button) return;
    state.pause();
    state.seek(Number(button.dataset.frame));
    if (button.dataset.joint) state.select(Number(button.dataset.joint));
  });
});
