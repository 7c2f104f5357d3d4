/**
 * Builds the page into dist/: the page itself, a worker with the library, a service worker that keeps both for offline use, and beside them
 * ONNX Runtime's files and the pocket model. The library comes from this repository's sources (its packages are the root's).
 */

import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

const root = join(import.meta.dirname, '..');
const runtime = join(root, 'node_modules/onnxruntime-web/dist');
/** Plain WASM, and the build that calls WebGPU. */
const runtimeFiles = ['ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm', 'ort-wasm-simd-threaded.asyncify.mjs', 'ort-wasm-simd-threaded.asyncify.wasm'];
const modelFiles = ['pocket.safetensors', 'pocket.yaml'];

/** For threads in WASM. The service worker adds these where a web server does not. */
const isolation = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

/** Copies what is not bundled, and writes the list of files that the service worker keeps. */
function filesBeside(): Plugin {
  let out = '';
  return {
    name: 'files-beside',
    apply: 'build',
    configResolved(config) {
      out = join(config.root, config.build.outDir);
    },
    closeBundle() {
      mkdirSync(join(out, 'ort'), { recursive: true });
      mkdirSync(join(out, 'models'), { recursive: true });
      for (const file of runtimeFiles) copyFileSync(join(runtime, file), join(out, 'ort', file));
      for (const file of modelFiles) copyFileSync(join(root, 'models', file), join(out, 'models', file));
      const shell = readdirSync(out, { recursive: true, encoding: 'utf8' })
        .map((file) => file.replaceAll('\\', '/'))
        .filter((file) => /\.(html|js|css|svg|png|webmanifest)$/.test(file) && file !== 'service-worker.js' && !file.startsWith('ort/'))
        .sort();
      const hash = createHash('sha256');
      for (const file of shell) hash.update(file).update(readFileSync(join(out, file)));
      const script = readFileSync(join(out, 'service-worker.js'), 'utf8');
      writeFileSync(join(out, 'service-worker.js'), `self.shell=${JSON.stringify({ version: hash.digest('hex').slice(0, 12), files: shell })};\n${script}`);
    },
  };
}

/** Serves ONNX Runtime's files and the models in development. */
function filesInDevelopment(): Plugin {
  return {
    name: 'files-in-development',
    apply: 'serve',
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const path = (request.url ?? '').split('?')[0] ?? '';
        const name = path.split('/').at(-1) ?? '';
        const folder = path.startsWith('/ort/') && runtimeFiles.includes(name) ? runtime : path.startsWith('/models/') && modelFiles.includes(name) ? join(root, 'models') : undefined;
        if (!folder) return next();
        response.setHeader('Content-Type', name.endsWith('.wasm') ? 'application/wasm' : name.endsWith('.mjs') ? 'text/javascript' : 'application/octet-stream');
        response.end(readFileSync(join(folder, name)));
      });
    },
  };
}

export default defineConfig({
  // Works under any path.
  base: './',
  plugins: [react(), filesBeside(), filesInDevelopment()],
  resolve: { alias: { 'stable-diffusion-ts': join(root, 'src') }, conditions: ['onnxruntime-web-use-extern-wasm', 'module', 'browser', 'production', 'default'] },
  server: { headers: isolation, fs: { allow: [root] }, proxy: { '/api': 'http://127.0.0.1:7860', '/sdapi': 'http://127.0.0.1:7860' } },
  preview: { headers: isolation },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    sourcemap: false,
    rolldownOptions: {
      input: { index: join(import.meta.dirname, 'index.html'), 'service-worker': join(import.meta.dirname, 'src/service-worker.ts') },
      output: { entryFileNames: ({ name }) => (name === 'service-worker' ? '[name].js' : 'assets/[name]-[hash].js') },
    },
  },
});
