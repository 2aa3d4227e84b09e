"use strict";
// Says over VS Code that its workspace sleeps, and wakes it when a person presses a key or clicks; or that they are signed
// out, and hides what is open. It wakes nothing by itself, and asks the gateway only while VS Code's connections are silent and somebody can see the page.
(() => {
  const look = 3000; // ms between two looks at the connections, which cost nothing
  const silent = 7000; // ms without a word from VS Code's server, which says something every 5 s
  const between = [2000, 15_000]; // ms between two questions to the gateway: while in doubt, while it sleeps
  const lasts = 500; // ms that a new connection must last: one to a session that is gone is ended at once
  const patience = 10_000; // ms for VS Code to come back by itself
  const calm = 700; // ms without a key before one counts, so that whoever is typing sees what happened

  const now = () => performance.now();

  // --- VS Code's connections ---
  const sockets = new Map(); // those that are open, and since when
  let heard = 0; // when one of them last said something; 0 before the first
  window.WebSocket = class WebSocket extends window.WebSocket {
    constructor(...args) {
      super(...args);
      if (new URL(this.url).host !== location.host) return;
      this.addEventListener("open", () => sockets.set(this, now()));
      this.addEventListener("message", () => { heard = now(); });
      this.addEventListener("close", () => { if (sockets.delete(this)) setTimeout(ask, 100); });
    }
  };
  // VS Code gives up after some time, and when its session is gone. Another connection of its may still speak.
  let lost = false;
  addEventListener("kalpana-lost", () => { lost = true; ask(); }); // see image/editor/defaults.mjs
  const quiet = () => lost || (heard > 0 && (now() - heard > silent || sockets.size === 0));
  const livesSince = (time) => !lost && heard > time && [...sockets.values()].some((since) => since < time || now() - since > lasts);

  // --- What is known of the workspace ---
  const asleep = new Set(["paused", "stopping", "stopped", "error"]);
  let phase = "away"; // of the notice: away, asleep, waking, returning, failed, unsaved, out
  let last = ""; // as the gateway last said
  let gone = false; // the container was stopped, and with it VS Code's session
  let asked = 0, asking = false, shownAt = 0, keyAt = 0, wokenAt = 0, awakeAt = 0;

  async function state() {
    const r = await fetch("/.kalpana/state", { cache: "no-store", redirect: "error", signal: AbortSignal.timeout(5000) });
    if (r.status === 401) return "out"; // the right to be here ended, with the session most often
    if (!r.ok) return "";
    const said = last = (await r.json()).state;
    if (asleep.has(said) && said !== "paused") gone = true;
    return said;
  }

  async function ask() {
    const rests = () => ["away", "asleep", "failed", "out"].includes(phase);
    if (asking || document.hidden || !rests() || !quiet()) return;
    if (now() - asked < between[phase === "away" ? 0 : 1]) return;
    asking = true;
    asked = now();
    const said = await state().catch(() => "");
    asking = false;
    if (!rests() || livesSince(asked)) return; // it was woken, or came back, meanwhile
    if (said === "out" && phase !== "out") out();
    if (asleep.has(said) && (phase === "away" || phase === "out")) show();
    if (said === "starting") { show(); wokenAt = now(); follow(); } // somebody else woke it
    if (said === "running" && phase !== "away") { wokenAt = shownAt; awake(); }
    if (said === "running" && lost && phase === "away") reload();
  }

  setInterval(() => {
    if ((phase === "asleep" || phase === "out") && livesSince(shownAt)) return hide();
    ask();
  }, look);
  document.addEventListener("visibilitychange", ask);

  // --- Waking ---
  async function wake() {
    phase = "waking";
    wokenAt = now(); // what VS Code's server says from here on, it says awake
    say("", "Waking your workspace…");
    try {
      await state(); // it may have been stopped since the notice came
      const r = await fetch("/.kalpana/wake", { method: "POST", redirect: "error" });
      if (!r.ok) {
        const problem = await r.json().catch(() => ({}));
        return failed(problem.detail || `The gateway answered ${r.status}.`);
      }
    } catch {
      return failed("The gateway does not answer. Look at your network.");
    }
    follow();
  }

  const words = {
    queued: "Waiting for its turn…", container: "Preparing the container…", start: "Starting the container…", editor: "VS Code is coming up…",
  };
  function follow() {
    phase = "waking";
    const source = new EventSource("/.kalpana/progress");
    const end = (then, ...args) => { source.close(); then(...args); };
    source.addEventListener("stage", (e) => {
      const { stage } = JSON.parse(e.data);
      if (stage === "container" || (last !== "paused" && ["start", "editor"].includes(stage))) gone = true;
      say(words[stage] || "", "Waking your workspace…");
    });
    source.addEventListener("ready", () => end(awake));
    source.addEventListener("failed", (e) => end(failed, JSON.parse(e.data).message));
    // A stream that broke connects again by itself; one that was refused does not.
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) end(failed, "The gateway does not answer."); };
  }

  function failed(message) {
    phase = "failed";
    shownAt = now();
    say(message, "The workspace did not wake.", "Press a key or click to try again.");
  }

  // It is awake. A session that was frozen goes on: VS Code connects again by itself. One that is gone does not.
  function awake() {
    phase = "returning";
    awakeAt = now();
    say("VS Code is coming back…");
    const back = () => {
      if (phase !== "returning") return;
      if (livesSince(wokenAt) && !gone) return hide();
      if (gone || lost || now() - awakeAt > patience) return reload();
      window.dispatchEvent(new Event("online")); // try now: see image/editor/defaults.mjs
      setTimeout(back, 150);
    };
    back();
  }

  // VS Code keeps unsaved text where the workspace does, and says so when it is asked before the page goes. Only what was
  // typed while nothing could be kept would be lost.
  let leaving = false;
  addEventListener("beforeunload", (e) => { if (leaving) e.stopImmediatePropagation(); }, true);
  function reload() {
    const question = new Event("beforeunload", { cancelable: true });
    dispatchEvent(question);
    if (question.defaultPrevented) {
      phase = "unsaved";
      attach();
      return say("VS Code must load anew, and it could not keep what you typed last. " +
        "Copy that first, then reload this page.", "Some text is not saved yet.");
    }
    leaving = true;
    location.reload();
  }

  // --- The notice ---
  const host = document.createElement("div");
  const parts = {};
  let before; // what had the focus
  function build() {
    const make = (name, tag, parent, attributes = {}) => {
      parts[name] = parent.appendChild(document.createElement(tag));
      for (const [key, value] of Object.entries(attributes)) parts[name].setAttribute(key, value);
    };
    host.id = "kalpana-sleep";
    const root = host.attachShadow({ mode: "open" });
    make("style", "style", root);
    make("card", "div", root, { role: "dialog", "aria-labelledby": "title", "aria-describedby": "hint", tabindex: "-1" });
    make("mark", "div", parts.card, { class: "mark", "aria-hidden": "true" });
    make("title", "h2", parts.card, { id: "title" });
    make("hint", "p", parts.card, { id: "hint" });
    make("status", "p", parts.card, { id: "status", role: "status", "aria-live": "polite" });
    parts.style.textContent = `
      :host { position: fixed; inset: 0; z-index: 2147483647; display: grid; place-items: center; padding: 24px; cursor: pointer;
        background: color-mix(in srgb, var(--vscode-editor-background, #1f1f1f) 78%, transparent);
        color: var(--vscode-editorWidget-foreground, #ccc); font: 14px/1.5 system-ui, sans-serif; animation: in .25s ease-out; }
      :host(.over) { background: var(--vscode-editor-background, #1f1f1f); }
      :host(.beside) { inset: auto 0 0 0; padding: 12px; cursor: auto; background: none; }
      div[role] { box-sizing: border-box; width: 100%; max-width: 400px; padding: 20px 24px; border-radius: 8px; outline: 0;
        background: var(--vscode-editorWidget-background, #202020); box-shadow: 0 4px 24px rgb(0 0 0 / .35);
        border: 1px solid var(--vscode-contrastBorder, var(--vscode-widget-border, #454545)); }
      h2 { margin: 12px 0 2px; font-size: 17px; font-weight: 600; }
      p { margin: 0; overflow-wrap: anywhere; }
      p:empty { display: none; }
      #status { margin-top: 8px; }
      .mark { width: 22px; height: 22px; border-radius: 6px; border: 2px solid #0a9d5a; display: grid; place-items: center; }
      .mark::after { content: ""; width: 10px; height: 10px; border-radius: 3px; background: #0a9d5a; }
      .busy .mark::after { animation: breathe 1.6s ease-in-out infinite; }
      @keyframes breathe { 50% { opacity: .25; transform: scale(.7); } }
      @keyframes in { from { opacity: 0; } }
      @media (prefers-reduced-motion: reduce) { :host, .busy .mark::after { animation: none; } }`;
    // VS Code's own dialog about the lost connection would stand behind the notice.
    document.head.append(Object.assign(document.createElement("style"), {
      textContent: "body:has(#kalpana-sleep:not(.beside)) .monaco-dialog-modal-block { visibility: hidden; }",
    }));
    for (const type of ["pointerdown", "pointerup", "mousedown", "mouseup", "contextmenu", "wheel"]) {
      host.addEventListener(type, (e) => { if (phase !== "unsaved") e.stopPropagation(); });
    }
    host.addEventListener("click", (e) => {
      e.stopPropagation();
      if (e.isTrusted && now() - shownAt > calm) act();
    });
  }

  function attach() {
    if (host.isConnected) return;
    if (!host.shadowRoot) build();
    before = document.activeElement;
    (document.querySelector(".monaco-workbench") || document.body).append(host); // where its theme's colours are
  }

  function show() {
    if (phase !== "away" && phase !== "out") return;
    phase = "asleep";
    shownAt = keyAt = now();
    attach();
    say("", "This workspace sleeps.", "Press a key or click to wake it.");
    if (document.hasFocus()) parts.card.focus();
  }

  function out() {
    phase = "out";
    shownAt = keyAt = now();
    attach();
    say("", "You are signed out.", "Press a key or click to sign in.");
    if (document.hasFocus()) parts.card.focus();
  }

  function say(status, title, hint) {
    if (!host.isConnected) return;
    parts.status.textContent = status;
    if (title) parts.title.textContent = title;
    parts.hint.textContent = hint || "";
    parts.card.classList.toggle("busy", ["waking", "returning"].includes(phase));
    parts.card.setAttribute("aria-modal", phase !== "unsaved");
    host.classList.toggle("beside", phase === "unsaved");
    host.classList.toggle("over", phase === "out");
    if (phase === "unsaved") before?.focus?.();
  }

  function hide() {
    phase = "away";
    gone = false;
    const had = host.shadowRoot?.activeElement || document.activeElement === host || document.activeElement === document.body;
    host.remove();
    if (had) before?.focus?.();
  }

  function act() {
    if (phase === "asleep" || phase === "failed") wake();
    if (phase === "out") reload();
  }

  // Keys go nowhere else while the notice is there; what the browser makes of them (reload, close, another tab) stays.
  const alone = new Set(["Shift", "Control", "Alt", "AltGraph", "Meta", "CapsLock", "NumLock", "ScrollLock", "Fn", "Dead", "Process", "Unidentified"]);
  for (const type of ["keydown", "keypress", "keyup"]) {
    addEventListener(type, (e) => {
      if (phase === "away") {
        if (type === "keydown") ask();
        return;
      }
      if (phase === "unsaved") return;
      e.stopImmediatePropagation();
      const browsers = e.ctrlKey || e.metaKey || e.altKey || /^F\d+$/.test(e.key);
      if (!browsers) e.preventDefault();
      if (type !== "keydown" || browsers || alone.has(e.key)) return;
      const rested = now() - keyAt > calm;
      keyAt = now();
      if (e.isTrusted && !e.repeat && rested) act();
    }, true);
  }
  addEventListener("pointerdown", () => ask(), true);
})();
