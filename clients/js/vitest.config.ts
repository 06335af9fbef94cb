import { defineConfig } from "vitest/config";

// What hangs is to end; how long a busy machine takes for the rest is nobody's fault.
const PATIENCE_MS = 60_000;

export default defineConfig({
  test: { include: ["tests/**/*.test.{ts,tsx}"], testTimeout: PATIENCE_MS, hookTimeout: PATIENCE_MS },
});
