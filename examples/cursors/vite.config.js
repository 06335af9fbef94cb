import { defineConfig } from "vite";

export default defineConfig({
  build: { outDir: "pages" },
  // takotwist is a link to this checkout and has a React of its own beside it.
  resolve: { dedupe: ["react", "react-dom"] },
});
