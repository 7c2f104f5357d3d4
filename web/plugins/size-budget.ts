/**
 * Fails the build where the page's own JavaScript is more than it may be, compressed. The engine is told beside it: the worker with the library
 * (half of it CLIP's vocabulary) and ONNX Runtime's scripts, which load when pictures are first made in the browser; and CLIP's vocabulary again,
 * which the page loads when it first counts a prompt's tokens.
 */

import { gzipSync } from 'node:zlib';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'vite';

const mostKilobytes = 300;

const isEngine = (file: string): boolean => /^(worker|ort|clip-tokenizer)\b/.test(file);

export function sizeBudget(): Plugin {
  let assets = '';
  return {
    name: 'size-budget',
    apply: 'build',
    configResolved(config) {
      assets = join(config.root, config.build.outDir, config.build.assetsDir);
    },
    closeBundle() {
      const sizes = readdirSync(assets)
        .filter((file) => file.endsWith('.js'))
        .map((file) => ({ file, kilobytes: gzipSync(readFileSync(join(assets, file)), { level: 9 }).length / 1000 }));
      const sum = (engine: boolean): number =>
        sizes.filter(({ file }) => isEngine(file) === engine).reduce((total, { kilobytes }) => total + kilobytes, 0);
      const text = `JavaScript, gzip: page ${sum(false).toFixed(1)} kB (at most ${mostKilobytes}), engine ${sum(true).toFixed(1)} kB beside ONNX Runtime's WASM`;
      if (sum(false) > mostKilobytes) throw new Error(`The page is too large. ${text}.`);
      console.log(text);
    },
  };
}
