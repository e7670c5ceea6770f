/*
 * bespeak's tracker: what a page needs to say who did what, on Segment's wire. No dependency, about 200 lines.
 *
 *   <script src="/static/tracker.js" data-write-key="bsw_..." data-host="https://bespeak.example" defer></script>
 *
 * window.bespeak.track(event, properties), .page(name), .identify(userId, traits, signature), .consent(preferences), .flush()
 *
 * In the markup, without a line of script:
 *   data-bespeak-track="Product Viewed" data-bespeak-properties="{...}"    sent when the page has loaded
 *   data-bespeak-slot="home-picks" data-bespeak-decision="ID"              what of it was truly seen is an Impression,
 *     with data-bespeak-item="ID" inside                                   a click inside is a Product Clicked
 *
 * Messages are sent at once, in batches; what fails is kept over page loads and sent again with the same message id,
 * so that the server counts it once.
 */
(() => {
  "use strict";
  const script = document.currentScript;
  const host = script.dataset.host || "";
  const writeKey = script.dataset.writeKey;
  const KEPT = "bespeak_unsent";
  const USER = "bespeak_user";
  const COOKIE = "bespeak_anonymous_id";
  const BATCH = 50;
  const QUEUE = 500;
  const SEEN_MS = 600;

  const store = {
    get(name, fallback) {
      try { return JSON.parse(localStorage.getItem(name)) ?? fallback; } catch { return fallback; }
    },
    set(name, value) {
      try { localStorage.setItem(name, JSON.stringify(value)); } catch { /* private window: nothing is kept */ }
    },
  };

  const newId = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  };

  const anonymousId = () => {
    const held = document.cookie.match(new RegExp(`(?:^|; )${COOKIE}=([^;]+)`));
    if (held) return decodeURIComponent(held[1]);
    const made = newId();
    document.cookie = `${COOKIE}=${made}; Path=/; Max-Age=31536000; SameSite=Lax`;
    return made;
  };

  const context = () => ({
    library: { name: "bespeak-tracker", version: "1" },
    page: { path: location.pathname, search: location.search, title: document.title, referrer: document.referrer },
    screen: { width: screen.width, height: screen.height },
    device: { type: matchMedia("(pointer: coarse)").matches ? "mobile" : "desktop" },
    locale: navigator.language,
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  });

  let queue = store.get(KEPT, []);
  let sending = null;
  let failures = 0;
  let timer = 0;

  const keep = () => store.set(KEPT, queue.slice(-QUEUE));

  const message = (type, fields, options = {}) => {
    const user = store.get(USER, null);
    queue.push({
      type,
      messageId: options.messageId || newId(),
      anonymousId: anonymousId(),
      ...(user ? { userId: user.id, userSignature: user.signature } : {}),
      timestamp: new Date().toISOString(),
      ...fields,
      context: { ...context(), ...options.context },
    });
    queue = queue.slice(-QUEUE);
    keep();
    return flush();
  };

  const later = (milliseconds) => {
    clearTimeout(timer);
    timer = setTimeout(flush, milliseconds);
  };

  const envelope = (batch) => JSON.stringify({ batch, writeKey, sentAt: new Date().toISOString() });

  /** Send what waits. Resolves when it was delivered, or when it has to wait for another try. */
  const flush = async () => {
    if (sending) return sending.then(() => (queue.length && !failures ? flush() : undefined));
    if (!queue.length) return undefined;
    sending = Promise.resolve().then(deliver);
    try { await sending; } finally { sending = null; }
    if (queue.length && !failures) return flush();
    return undefined;
  };

  const deliver = async () => {
    const batch = queue.slice(0, BATCH);
    try {
      const answer = await fetch(`${host}/v1/batch`, {
        method: "POST",
        keepalive: true,
        headers: { "Content-Type": "text/plain" }, // no preflight from another origin
        body: envelope(batch),
      });
      if (answer.status === 429 || answer.status >= 500) throw new Error(`status ${answer.status}`);
      failures = 0;
      const sent = new Set(batch.map((one) => one.messageId));
      queue = queue.filter((one) => !sent.has(one.messageId));
      keep();
    } catch {
      failures += 1;
      later(Math.min(60000, 500 * 2 ** failures));
    }
  };

  const track = (event, properties = {}, options) => message("track", { event, properties }, options);
  const page = (name, properties = {}, options) => message("page", { name, properties }, options);

  const identify = (userId, traits = {}, signature, options) => {
    const before = store.get(USER, null);
    if (before && before.id !== userId) { // somebody else at the same screen: another device, as far as we know
      document.cookie = `${COOKIE}=${newId()}; Path=/; Max-Age=31536000; SameSite=Lax`;
    }
    store.set(USER, { id: userId, signature });
    return message("identify", { traits }, options);
  };

  const reset = () => {
    try { localStorage.removeItem(USER); } catch { /* nothing was kept */ }
    document.cookie = `${COOKIE}=${newId()}; Path=/; Max-Age=31536000; SameSite=Lax`;
  };

  const consent = (preferences) =>
    track("Segment Consent Preference Updated", {}, { context: { consent: { categoryPreferences: preferences } } });

  // -- what was truly seen

  const waiting = new Map();
  const seen = new Set();

  const report = () => {
    const slots = new Map();
    for (const [element, since] of waiting) {
      if (performance.now() - since < SEEN_MS) continue;
      waiting.delete(element);
      const slot = element.closest("[data-bespeak-slot]");
      const decision = slot?.dataset.bespeakDecision;
      const item = element.dataset.bespeakItem;
      const mark = `${decision} ${slot?.dataset.bespeakSlot} ${item}`;
      if (!decision || seen.has(mark)) continue;
      seen.add(mark);
      const name = slot.dataset.bespeakSlot;
      if (!slots.has(name)) slots.set(name, { decision_id: decision, slot: name, items: [] });
      if (item) slots.get(name).items.push(item);
    }
    for (const properties of slots.values()) track("Impression", properties);
    if (waiting.size) setTimeout(report, SEEN_MS / 2);
  };

  const watcher = new IntersectionObserver((entries) => {
    const idle = !waiting.size;
    for (const entry of entries) {
      if (entry.isIntersecting) waiting.set(entry.target, performance.now());
      else waiting.delete(entry.target);
    }
    if (idle && waiting.size) setTimeout(report, SEEN_MS + 20);
  }, { threshold: 0.5 });

  /** Watch the slots in a part of the page; call it again for what was put there later. */
  const observe = (root = document) => {
    for (const slot of root.querySelectorAll("[data-bespeak-slot]")) {
      const items = slot.querySelectorAll("[data-bespeak-item]");
      if (items.length) items.forEach((item) => watcher.observe(item));
      else watcher.observe(slot);
    }
  };

  document.addEventListener("click", (click) => {
    const item = click.target.closest("[data-bespeak-item]");
    const slot = item?.closest("[data-bespeak-slot]");
    if (!slot || !click.target.closest("a")) return;
    const position = [...slot.querySelectorAll("[data-bespeak-item]")].indexOf(item) + 1;
    track("Product Clicked", {
      product_id: item.dataset.bespeakItem,
      list_id: slot.dataset.bespeakSlot,
      decision_id: slot.dataset.bespeakDecision,
      position,
    });
  });

  addEventListener("pagehide", () => {
    if (queue.length && !sending) navigator.sendBeacon(`${host}/v1/batch`, envelope(queue.slice(0, BATCH)));
  });
  addEventListener("online", () => later(0));

  // -- what the markup says

  const read = (text) => { try { return JSON.parse(text || "{}"); } catch { return {}; } };

  const begin = () => {
    page(document.body.dataset.page || document.title);
    for (const element of document.querySelectorAll("[data-bespeak-identify]")) {
      const { bespeakIdentify, bespeakTraits, bespeakSignature } = element.dataset;
      identify(bespeakIdentify, read(bespeakTraits), bespeakSignature);
    }
    for (const element of document.querySelectorAll("[data-bespeak-track]")) {
      const { bespeakTrack, bespeakProperties, bespeakMessage } = element.dataset;
      track(bespeakTrack, read(bespeakProperties), { messageId: bespeakMessage });
    }
    observe();
  };

  window.bespeak = { track, page, identify, reset, consent, flush, observe, anonymousId };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
