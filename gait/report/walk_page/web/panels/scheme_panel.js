// Light or dark: as the device, or as chosen here.

addPanel(() => {
  const choice = document.getElementById("scheme");
  choice.addEventListener("change", () => {
    document.documentElement.dataset.scheme = choice.value;
    document.dispatchEvent(new CustomEvent("scheme"));
  });
});
