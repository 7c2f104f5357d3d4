/**
 * Builds the page into dist/: the page itself, a worker with the library, a service worker that keeps both for offline use, and beside them
 * ONNX Runtime's files and the pocket model. The library comes from this repository's sources (its packages are the root's).
 */

import { join } from 'node:path';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import { filesBeside } from './plugins/files-beside.ts';
import { repository } from './plugins/page-files.ts';
import { sizeBudget } from './plugins/size-budget.ts';

/** For threads in WASM. The service worker adds these where a web server does not. */
const isolation = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

export default defineConfig({
  // Works under any path.
  base: './',
  plugins: [react(), sizeBudget(), filesBeside()],
  resolve: {
    alias: { 'stable-diffusion-ts': join(repository, 'src') },
    conditions: ['onnxruntime-web-use-extern-wasm', 'module', 'browser', 'production', 'default'],
  },
  server: {
    headers: isolation,
    fs: { allow: [repository] },
    proxy: { '/api': 'http://127.0.0.1:7860', '/sdapi': 'http://127.0.0.1:7860' },
  },
  preview: { headers: isolation },
  // The worker's parts are the engine's, also those that load later.
  worker: { format: 'es', rollupOptions: { output: { chunkFileNames: 'assets/worker-[name]-[hash].js' } } },
  build: {
    target: 'es2022',
    rolldownOptions: {
      input: {
        index: join(import.meta.dirname, 'index.html'),
        'service-worker': join(import.meta.dirname, 'src/service-worker.ts'),
      },
      output: { entryFileNames: ({ name }) => (name === 'service-worker' ? '[name].js' : 'assets/[name]-[hash].js') },
    },
  },
});
