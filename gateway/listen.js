"use strict";
// Looks whether a program listens by now, and then opens it. It looks only while somebody looks at the
// page, and never wakes a workspace: a forgotten tab must not keep one awake.
(() => {
  const main = document.querySelector("main");
  const first = 1000, last = 5000; // ms between two looks
  let pause = first, timer;
  const stop = (text) => {
    main.removeAttribute("data-live");
    document.getElementById("status").textContent = text;
  };
  const look = async () => {
    timer = undefined;
    if (document.hidden) return;
    let r;
    try {
      r = await fetch(location.href, { method: "HEAD", cache: "no-store", redirect: "manual" });
    } catch { /* the network is away; it may come back */ }
    const ours = r && (r.headers.get("Content-Type") || "").startsWith("application/problem+json");
    if (r && !(ours && [401, 404, 502, 503].includes(r.status))) return location.reload();
    if (ours && r.status === 503) return stop("The workspace sleeps, or does not answer. Try again to open it.");
    if (ours && r.status !== 502) return stop("This preview is no longer open to this browser. Try again to sign in.");
    pause = Math.min(pause * 1.2, last);
    timer = setTimeout(look, pause);
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || timer !== undefined || !main.hasAttribute("data-live")) return;
    pause = first;
    look();
  });
  timer = setTimeout(look, first);
})();
