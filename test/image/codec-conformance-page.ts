/** Runs in a page: the conformance suite on the browser's codec. The page's server has files/images under /images/. */

import { webImageCodec } from '../../src/image/codec/codec-web.ts';
import { codecConformance, type ExpectedFile } from './codec-conformance.ts';

const load = async (file: string): Promise<Uint8Array> =>
  new Uint8Array(await (await fetch(`/images/${file}`)).arrayBuffer());

async function runAll(): Promise<{ name: string; error?: string; value?: unknown }[]> {
  const { files } = JSON.parse(new TextDecoder().decode(await load('expected.json'))) as {
    readonly files: readonly ExpectedFile[];
  };
  const results: { name: string; error?: string; value?: unknown }[] = [];
  for (const { name, run } of codecConformance(webImageCodec, files, load)) {
    try {
      results.push({ name, value: await run() });
    } catch (error) {
      results.push({ name, error: error instanceof Error ? error.message : String(error) });
    }
  }
  return results;
}

Object.assign(globalThis, { results: runAll() });
