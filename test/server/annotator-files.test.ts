/** Preprocessors' networks in the server's folder, made up in the layouts of the published files: each is found and draws its map. */

import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { convert } from '../../src/tensor/convert.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { generateNormalisedWeights } from '../generated-weights.ts';
import { findReference, skipUnless } from '../reference.ts';
import { startTestServer, type TestServer } from './start.ts';

/** By the recorded case with the names and shapes: the modules that use the network. */
const modules = {
  hed: ['softedge_hed', 'scribble_hed'],
  lineart: ['lineart_realistic'],
  lineart_anime: ['lineart_anime'],
  mlsd: ['mlsd'],
  dpt: ['depth_midas', 'normal_midas'],
  openpose_net: ['openpose'],
} as const;

const folder = mkdtempSync(join(tmpdir(), 'sd-annotators-'));
let server: TestServer | undefined;
after(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true });
});

/** In float16, as half of the published files are. */
async function writeNetwork(kind: string): Promise<void> {
  const own = findReference(`control/annotators/${kind}`);
  if (own === undefined) return;
  const to = join(folder, `${kind}.safetensors`);
  if (existsSync(join(own, 'model.safetensors'))) return copyFileSync(join(own, 'model.safetensors'), to);
  const weights = generateNormalisedWeights(join(own, 'weights.json'));
  // The published file of OpenPose has the layers' names without their stages'.
  const published = new Map(
    Array.from(weights, ([name, value]) => [name.replace(/^model\d(?:_\d)?\.(?=M?conv)/, ''), value]),
  );
  const entries = Array.from(published, ([name, { shape }]) => ({ name, shape, dtype: 'float16' as const }));
  await writeFileAtomic(
    to,
    writeSafetensors(entries, async ({ name }) => convert(published.get(name) as Tensor, 'float16')),
  );
}

const image = createImage(72, 64, 3);
for (let i = 0; i < image.data.length; i++) image.data[i] = i % 216 < 108 === i < 6912 ? 230 : 20;
const encoded = Buffer.from(await nodeImageCodec.encode(image, { format: 'png' })).toString('base64');

for (const [kind, names] of Object.entries(modules))
  test(`${kind}: ${names.join(', ')}`, { skip: skipUnless(`control/annotators/${kind}`) }, async () => {
    await writeNetwork(kind);
    await server?.stop();
    server = await startTestServer({ annotatorFolders: [folder] });
    for (const controlnet_module of names) {
      const { status, body } = await server.json('POST', '/controlnet/detect', {
        controlnet_module,
        controlnet_input_images: [encoded],
        controlnet_processor_res: 64,
      });
      assert.equal(status, 200, `${controlnet_module}: ${JSON.stringify(body).slice(0, 300)}`);
      const [map = ''] = (body as { readonly images: readonly string[] }).images;
      const { width, height } = await nodeImageCodec.decode(Buffer.from(map, 'base64'));
      assert.ok(width >= 64 && height >= 64, `${controlnet_module}: ${width} x ${height}`);
    }
    rmSync(join(folder, `${kind}.safetensors`));
  });
