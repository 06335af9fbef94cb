import { defineConfig } from "vite";

export default defineConfig({
  // `tako dev` is in front, over HTTPS. It passes on no WebSocket, so that of the hot reload goes
  // to Vite itself.
  server: {
    host: "127.0.0.1",
    port: 5173,
    strictPort: true,
    hmr: { protocol: "ws", host: "127.0.0.1", clientPort: 5173 },
  },
  resolve: { dedupe: ["react", "react-dom"] },
});
