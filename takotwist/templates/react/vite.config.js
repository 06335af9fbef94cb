import { defineConfig } from "vite";

export default defineConfig({
  // `tako dev` is in front, over HTTPS, and passes on the hot reload too.
  server: { host: "127.0.0.1", port: 5173, strictPort: true },
  resolve: { dedupe: ["react", "react-dom"] },
});
