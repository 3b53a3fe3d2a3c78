// Light or dark before the first paint: the system's wish, or what was chosen here and remembered. A plain script.
"use strict";
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem("cadenza-theme"); } catch { return null; } };
  const apply = () => {
    const wish = stored() ?? "system";
    document.documentElement.dataset.wish = wish;
    document.documentElement.dataset.theme = wish === "system" ? (system.matches ? "dark" : "light") : wish;
    document.dispatchEvent(new Event("themechange"));
  };
  window.cadenzaTheme = {
    next() {
      const order = ["system", "light", "dark"];
      const wish = order[(order.indexOf(stored() ?? "system") + 1) % 3];
      try { localStorage.setItem("cadenza-theme", wish); } catch { /* a private window: for this visit only */ }
      apply();
    },
  };
  system.addEventListener("change", apply);
  apply();
})();
