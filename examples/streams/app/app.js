// One page: the path says what it shows, and a reload shows the same again.
const show = () => (document.querySelector("h1").textContent = location.pathname);
document.querySelector("nav").onclick = (event) => {
  if (!event.target.href) return;
  event.preventDefault();
  history.pushState({}, "", event.target.href);
  show();
};
addEventListener("popstate", show);
show();
