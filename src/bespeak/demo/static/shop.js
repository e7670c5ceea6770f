/* The shop's own script: carts without a page load, shelves that follow, the privacy switch. Everything works without it. */
(() => {
  "use strict";
  const why = new URLSearchParams(location.search).get("why") === "1";
  const toast = document.querySelector("[data-toast]");
  let hide = 0;

  const say = (text) => {
    toast.textContent = text;
    toast.classList.add("on");
    clearTimeout(hide);
    hide = setTimeout(() => toast.classList.remove("on"), 3200);
  };

  const showCount = (count) => {
    const badge = document.querySelector("[data-cart-count]");
    badge.textContent = count;
    badge.setAttribute("aria-label", `${count} in the cart`);
  };

  /** Put the shelves of this page up again, as the engine would now; what is not on the page is not asked for. */
  const refresh = async () => {
    const shelves = [...document.querySelectorAll("[data-slot]")].filter((one) => one.dataset.slot !== "home-trending");
    if (!shelves.length && !why) return;
    const query = new URLSearchParams({ slots: shelves.map((one) => one.dataset.slot).join(",") });
    if (document.body.dataset.item) query.set("item", document.body.dataset.item);
    if (why) { query.set("why", "1"); query.set("path", location.pathname); }
    const answer = await fetch(`/shelves?${query}`);
    if (!answer.ok) return;
    const { slots, panel } = await answer.json();
    for (const shelf of shelves) {
      const html = slots[shelf.dataset.slot];
      if (!html) continue;
      shelf.outerHTML = html;
    }
    const aside = document.querySelector(".why");
    if (aside && panel) {
      const top = aside.scrollTop;
      aside.outerHTML = panel;
      document.querySelector(".why").scrollTop = top;
    }
    window.bespeak.observe();
  };

  document.addEventListener("submit", async (submit) => {
    const form = submit.target.closest("[data-add]");
    if (!form) return;
    submit.preventDefault();
    const product = JSON.parse(form.dataset.add);
    const quantity = Number(new FormData(form).get("quantity")) || 1;
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
    });
    if (!answer.ok) { say("That did not work. Please try again."); return; }
    showCount((await answer.json()).count);
    say(`${product.name} is in your cart.`);
    await window.bespeak.track("Product Added", { ...product, quantity });
    await refresh();
  });

  document.addEventListener("click", async (click) => {
    const remove = click.target.closest("[data-remove]");
    if (remove) window.bespeak.track("Product Removed", JSON.parse(remove.dataset.remove));
    const choice = click.target.closest("[data-consent]");
    if (!choice) return;
    choice.disabled = true;
    await window.bespeak.consent({ analytics: true, personalization: choice.dataset.consent === "grant" });
    location.reload();
  });

  /** Draw the live part of the panel again: time passes, windows end, and this page view has arrived by now. */
  const refreshPanel = async () => {
    if (document.hidden) return;
    const answer = await fetch("/shelves?why=1");
    const live = document.querySelector("[data-why-live]");
    if (!answer.ok || !live) return;
    const { profile } = await answer.json();
    const open = live.querySelector("details")?.open;
    live.outerHTML = profile;
    const details = document.querySelector("[data-why-live] details");
    if (details) details.open = open;
  };

  if (why) {
    addEventListener("load", () => setTimeout(() => window.bespeak.flush().then(refreshPanel), 50));
    setInterval(() => refreshPanel().catch(() => { /* the server is away: the next round asks again */ }), 3000);
  }
})();
