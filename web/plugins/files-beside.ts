/** Puts the files that are not bundled beside the page, in the build and in development, and tells the service worker what it is to keep. */

import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Plugin } from 'vite';
import { pageFiles, runtimeVersion } from './page-files.ts';

const types: Readonly<Record<string, string>> = { wasm: 'application/wasm', mjs: 'text/javascript' };
const script = 'service-worker.js';

/** What the page needs to open without a network. */
function shellFiles(out: string): readonly string[] {
  return readdirSync(out, { recursive: true, encoding: 'utf8' })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => /\.(html|js|css|svg|png|webmanifest)$/.test(file) && file !== script && !file.startsWith('ort/'))
    .sort();
}

export function filesBeside(): Plugin {
  let out = '';
  return {
    name: 'files-beside',
    configResolved(config) {
      out = join(config.root, config.build.outDir);
    },
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const path = (request.url ?? '').split('?')[0]?.slice(1) ?? '';
        const file = pageFiles.get(path);
        if (!file) return next();
        response.setHeader('Content-Type', types[path.split('.').at(-1) ?? ''] ?? 'application/octet-stream');
        response.end(readFileSync(file));
      });
    },
    closeBundle() {
      for (const [path, file] of pageFiles) {
        mkdirSync(dirname(join(out, path)), { recursive: true });
        copyFileSync(file, join(out, path));
      }
      const files = shellFiles(out);
      const hash = createHash('sha256');
      for (const file of files) hash.update(file).update(readFileSync(join(out, file)));
      const shell = { version: hash.digest('hex').slice(0, 12), runtime: runtimeVersion(), files };
      writeFileSync(
        join(out, script),
        `self.shell=${JSON.stringify(shell)};\n${readFileSync(join(out, script), 'utf8')}`,
      );
    },
  };
}
