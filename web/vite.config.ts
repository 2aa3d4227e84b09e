import { fileURLToPath } from 'node:url'
import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

// The console needs its real host name (its cookies are bound to it), so
// `npm run dev` listens on kalpana.localhost and speaks to the gateway under that name.
const upstream = {
  target: 'http://127.0.0.1:8080',
  headers: { host: 'kalpana.localhost:8080', origin: 'http://kalpana.localhost:8080' },
}

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: {
    alias: {
      '@': fileURLToPath(new URL('./src', import.meta.url)),
      'rehype-raw': fileURLToPath(new URL('./src/lib/no-html.ts', import.meta.url)),
    },
  },
  build: {
    // Inlined data: URLs would need a wider content security policy.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
  },
  server: {
    host: '127.0.0.1',
    port: 5173,
    open: false,
    proxy: { '/api': upstream, '/handoff': upstream, '^/login/[^/]+/callback': upstream },
  },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
})
