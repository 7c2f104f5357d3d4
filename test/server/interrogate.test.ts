/** `/sdapi/v1/interrogate` and `sd interrogate` with small networks. */

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type OpenAiClipConfig, openAiClipConfigSchema } from '../../src/config/network-config.ts';
import { fittingWords, wordsText } from '../../src/describing/categories.ts';
import { openCategories, openDescriber, openWordRanker } from '../../src/describing/open-node.ts';
import { tagText } from '../../src/describing/tags.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { traceOpenAiClipImage, traceOpenAiClipText } from '../../src/models/openai-clip.ts';
import { elementCount, float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { sd, temporaryFolder } from '../cli/run-cli.ts';
import { base64Png, png, startTestServer, testImage } from './start.ts';

const fixtures = fileURLToPath(new URL('../../fixtures/describers', import.meta.url));
const picture = testImage(72, 56);

const clipConfig: OpenAiClipConfig = openAiClipConfigSchema.parse({
  kind: 'openai_clip',
  embed_dim: 16,
  image_resolution: 16,
  vision_layers: 1,
  vision_width: 64,
  vision_patch_size: 8,
  context_length: 77,
  vocab_size: 49408,
  transformer_width: 64,
  transformer_heads: 1,
  transformer_layers: 1,
});

/** A CLIP of random numbers under the names of OpenAI. */
async function writeClip(path: string): Promise<void> {
  const weights = new Map<string, Tensor>();
  let state = 7;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  for (const graph of [traceOpenAiClipImage(clipConfig), traceOpenAiClipText(clipConfig)])
    for (const { name, value } of graph.parameters) {
      const size = value.shape.map(Number);
      weights.set(
        name,
        float32(
          size,
          Float32Array.from({ length: elementCount(size) }, () => random() / 4),
        ),
      );
    }
  const source = memoryWeights(weights, 'clip.safetensors');
  await writeFileAtomic(
    path,
    writeSafetensors(source.entries.values(), (entry) => source.read(entry.name)),
  );
}

async function folders(
  root: string,
): Promise<{ readonly networks: string; readonly words: string; readonly clip: string }> {
  const [networks, words] = [join(root, 'networks'), join(root, 'words')];
  for (const folder of [networks, words]) mkdirSync(folder);
  for (const file of ['blip.safetensors', 'vocab.txt', 'deepdanbooru.pt'])
    copyFileSync(join(fixtures, file), join(networks, file));
  const clip = join(networks, 'clip.safetensors');
  await writeClip(clip);
  writeFileSync(join(words, 'artists.txt'), 'a\nb\nc\n');
  writeFileSync(join(words, 'flavors.top2.more.txt'), 'red\ngreen\nblue\n');
  return { networks, words, clip };
}

/** What the library says. */
async function said({ networks, words, clip }: Awaited<ReturnType<typeof folders>>) {
  const engine = createNodeEngine({ threads: 1 });
  try {
    await using blip = await openDescriber(engine, join(networks, 'blip.safetensors'));
    await using tagger = await openDescriber(engine, join(networks, 'deepdanbooru.pt'));
    await using ranker = await openWordRanker(engine, clip);
    assert.ok(blip.kind === 'captioner' && tagger.kind === 'tagger');
    return {
      caption: await blip.caption(picture),
      beams: await blip.caption(picture, { beams: 3, shortest: 5, longest: 12 }),
      words: await fittingWords(ranker, picture, await openCategories(words)),
      tags: await tagger.tags(picture),
    };
  } finally {
    await engine.dispose();
  }
}

test('interrogate describes a picture where the server has the networks', async (context) => {
  const given = await folders(temporaryFolder(context));
  const server = await startTestServer({ annotatorFolders: [given.networks], wordsFolder: given.words });
  context.after(() => server.stop());
  const wanted = await said(given);
  const image = await base64Png(picture);
  const ask = async (request: object): Promise<string> => {
    const { status, body } = await server.json('POST', '/sdapi/v1/interrogate', { image, ...request });
    assert.equal(status, 200, JSON.stringify(body));
    return (body as { readonly caption: string }).caption;
  };
  assert.equal(wanted.words.length, 3);
  assert.equal(await ask({}), wanted.caption + wordsText(wanted.words, false));
  assert.equal(await ask({ model: 'deepdanbooru' }), tagText(wanted.tags));
  const options = {
    interrogate_clip_num_beams: 3,
    interrogate_clip_min_length: 5,
    interrogate_clip_max_length: 12,
    interrogate_clip_skip_categories: ['artists'],
    interrogate_return_ranks: true,
    interrogate_deepbooru_score_threshold: 0.45,
    deepbooru_sort_alpha: false,
  };
  assert.equal((await server.json('POST', '/sdapi/v1/options', options)).status, 200);
  assert.equal(await ask({ model: 'clip' }), wanted.beams + wordsText(wanted.words.slice(1), true));
  assert.equal(
    await ask({ model: 'deepdanbooru' }),
    tagText(wanted.tags, { threshold: 0.45, sorted: false, scores: true }),
  );
  const broken = await server.json('POST', '/sdapi/v1/interrogate', { image: 'bm8=', model: 'clip' });
  assert.equal(broken.status, 422);
  const refused = await server.json('POST', '/sdapi/v1/options', { interrogate_clip_num_beams: 1000 });
  assert.equal(refused.status, 422);
  const unknown = await server.json('POST', '/sdapi/v1/interrogate', { image, model: 'blip2' });
  assert.equal(unknown.status, 404);
  assert.match(JSON.stringify(unknown.body), /Model not found.*there are clip and deepdanbooru/);
});

test('sd interrogate writes a line for each picture, and names what is missing', async (context) => {
  const root = temporaryFolder(context);
  const given = await folders(root);
  const wanted = await said(given);
  const path = join(root, 'a.png');
  writeFileSync(path, await png(picture));
  const [blip, tagger] = ['blip.safetensors', 'deepdanbooru.pt'].map((name) => join(given.networks, name)) as [
    string,
    string,
  ];
  const clip = ['--clip', given.clip, '--words', given.words];
  const plain = await sd(['interrogate', path, '--model', blip, ...clip]);
  assert.equal(plain.out, `${wanted.caption}${wordsText(wanted.words, false)}\n`, plain.err);
  const tags = await sd(['interrogate', path, path, '--model', tagger, '--threshold', '0.45', '--json']);
  const rows = tags.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { readonly text: string });
  assert.deepEqual(
    rows.map(({ text }) => text),
    Array(2).fill(tagText(wanted.tags, { threshold: 0.45 })),
    tags.err,
  );
  const lone = join(root, 'lone.safetensors');
  copyFileSync(blip, lone);
  assert.match(
    (await sd(['interrogate', path, '--model', lone])).err,
    /put vocab\.txt of bert-base-uncased next to lone/,
  );
  assert.match(
    (await sd(['interrogate', path, '--model', given.clip])).err,
    /clip\.safetensors is OpenAI.s CLIP, not a network that describes pictures/,
  );
  assert.match((await sd(['interrogate', path])).err, /--model is required/);
});
