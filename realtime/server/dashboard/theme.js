// Runs before the first paint, as no module can, so that a chosen theme does not come after a flash of another.
try {
  const theme = localStorage.getItem("tonewatch.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is forbidden: the system's theme it is.
}
