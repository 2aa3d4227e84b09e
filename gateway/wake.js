"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const order = ["container", "start", "editor"];
  const words = {
    queued: "Waiting for its turn…", stop: "Stopping what runs…", container: "Preparing the container…", start: "Starting the container…",
    editor: "VS Code is coming up…", resume: "It goes on where it was…", ready: "Opening…",
  };
  let source;
  const ordinal = (n) => {
    const ending = n % 100 >= 11 && n % 100 <= 13 ? "th" : ["th", "st", "nd", "rd"][n % 10] || "th";
    return n + ending;
  };
  const show = (stage, place, of) => {
    $("status").textContent = place
      ? `Other workspaces are starting: yours is ${of > 1 ? `${ordinal(place)} of ${of} in line` : "next"}.`
      : words[stage] || "";
    const at = stage === "ready" ? order.length : order.indexOf(stage);
    for (const li of document.querySelectorAll("#stages li")) {
      const i = order.indexOf(li.dataset.stage);
      li.className = i < at ? "done" : i === at ? "now" : "";
    }
  };
  const log = (text) => {
    if (!text) return;
    $("log").hidden = false;
    $("log").textContent = text;
    $("log").scrollTop = $("log").scrollHeight;
  };
  const failed = (message, detail) => {
    source.close();
    document.querySelector("main").removeAttribute("data-live");
    $("title").textContent = "The workspace did not start";
    $("message").textContent = message;
    $("status").textContent = "";
    log(detail);
    $("retry").hidden = false;
    $("retry").focus();
  };
  const follow = () => {
    source = new EventSource("/.kalpana/progress");
    source.addEventListener("stage", (e) => { const d = JSON.parse(e.data); show(d.stage, d.place, d.of); });
    source.addEventListener("log", (e) => log(JSON.parse(e.data).text));
    source.addEventListener("ready", () => { source.close(); show("ready"); location.reload(); });
    source.addEventListener("failed", (e) => { const d = JSON.parse(e.data); failed(d.message, d.detail); });
    // A stream that broke connects again by itself; one that was refused does not.
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 1000); };
  };
  $("retry").addEventListener("click", async () => {
    $("retry").hidden = true;
    $("log").hidden = true;
    document.querySelector("main").setAttribute("data-live", "");
    $("title").textContent = "Waking your workspace";
    $("message").textContent = "It opens by itself in a moment.";
    try {
      const r = await fetch("/.kalpana/wake", { method: "POST" });
      if (r.status === 401 || r.status === 404) return location.reload();
    } catch { /* the stream below reconnects */ }
    follow();
  });
  follow();
})();
