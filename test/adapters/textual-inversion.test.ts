/** Textual inversion files of every form of the reference set, and the text encoder with their vectors. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseModelConfig } from '../../src/config/model-config.ts';
import { type ClipTextConfig, networkConfigSchema } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { forward } from '../../src/model/forward.ts';
import { convert } from '../../src/tensor/convert.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { withPlaceholders } from '../../src/tokenizer/clip-placeholders.ts';
import { createClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { canonicalWeights } from '../../src/checkpoints/canonical.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { readEmbeddings, withEmbeddings } from '../../src/adapters/textual-inversion.ts';
import { compareTensor } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const folder = reference('networks/textual_inversion');
const index: {
  readonly cases: readonly {
    readonly name: string;
    readonly outputs: Readonly<Record<string, { readonly atol: number }>>;
  }[];
} = JSON.parse(readFileSync(reference('networks/index.json'), 'utf8'));
const { outputs } = index.cases.find(({ name }) => name === 'textual_inversion') ?? assert.fail();
const wanted = readTensors(join(folder, 'outputs.safetensors'));
const embedding = pick(wanted, 'embedding');
const config = networkConfigSchema.parse(
  parseModelConfig(
    readFileSync(join(reference('networks/clip_text_quick_gelu'), 'config.json'), 'utf8'),
    'config.json',
  ),
) as ClipTextConfig;
const encoder = () =>
  canonicalWeights(memoryWeights(readTensors(reference('networks/clip_text_quick_gelu/weights.safetensors'))), config)
    .source;
const row = {
  part: 'networks',
  case: 'textual_inversion',
  reference: 'torch.save / safetensors; transformers.CLIPTextModel',
};

const forms: readonly { readonly file: string; readonly token: string; readonly want?: Tensor }[] = [
  { file: 'a1111.pt', token: 'a1111' },
  { file: 'a1111_parameterdict.pt', token: 'a1111_parameterdict' },
  {
    file: 'a1111_legacy_format_half.pt',
    token: 'a1111_legacy_format_half',
    want: convert(convert(embedding, 'float16'), 'float32'),
  },
  {
    file: 'learned_embeds.bin',
    token: '<my-style>',
    want: float32([1, 32], (embedding.data as Float32Array).subarray(0, 32)),
  },
  { file: 'learned_embeds.safetensors', token: '<my-style>' },
  { file: 'emb_params.safetensors', token: 'emb_params' },
];

for (const { file, token, want = embedding } of forms) {
  test(`textual_inversion: ${file}`, async () => {
    const [found, ...others] = await readEmbeddings(await openWeightsAt(join(folder, file)));
    assert.ok(found && others.length === 0);
    assert.equal(found.token, token);
    compareTensor({ ...row, output: `embedding of ${file}`, tolerance: 0 }, found.vectors, want);
    assert.equal(
      (await readEmbeddings(await openWeightsAt(join(folder, file)), { token: 'other' }))[0]?.token,
      'other',
    );
  });
}

test('textual_inversion: the text encoder with three further tokens', async () => {
  const {
    source,
    config: extended,
    placeholders,
  } = withEmbeddings(
    encoder(),
    config,
    await readEmbeddings(await openWeightsAt(join(folder, 'a1111.pt')), { token: '<my-style>' }),
  );
  assert.deepEqual(placeholders, [{ token: '<my-style>', ids: [200, 201, 202] }]);
  const got = await forward({
    engine,
    config: extended,
    weights: source,
    inputs: readTensors(join(folder, 'inputs.safetensors')),
  });
  compareTensor(
    { ...row, output: 'embedding', tolerance: outputs['embedding']?.atol ?? 0 },
    (await readEmbeddings(await openWeightsAt(join(folder, 'a1111.pt'))))[0]?.vectors as Tensor,
    embedding,
  );
  compareTensor(
    { ...row, output: 'last_hidden_state', tolerance: outputs['last_hidden_state']?.atol ?? 0 },
    got.get('last_hidden_state') as Tensor,
    pick(wanted, 'last_hidden_state'),
  );
});

test('vectors of another width and one name twice are refused', () => {
  const vectors = (width: number) => float32([1, width], new Float32Array(width));
  assert.throws(() => withEmbeddings(encoder(), config, [{ token: 'a', vectors: vectors(1024) }]), {
    code: 'weights-mismatch',
  });
  assert.throws(
    () =>
      withEmbeddings(encoder(), config, [
        { token: 'a', vectors: vectors(32) },
        { token: 'a', vectors: vectors(32) },
      ]),
    { code: 'invalid-argument' },
  );
});

test('placeholders in prompts: whole words, any case, the longest first', () => {
  const plain = createClipTokenizer();
  const tokenizer = withPlaceholders(plain, [
    { token: '<cat-toy>', ids: [49408, 49409] },
    { token: 'sks', ids: [49410] },
    { token: 'sks dog', ids: [49411] },
  ]);
  assert.equal(tokenizer.vocabSize, 49412);
  const a = plain.encode('a photo of');
  assert.deepEqual(tokenizer.encode('a photo of <cat-toy>, red'), [...a, 49408, 49409, ...plain.encode(', red')]);
  assert.deepEqual(tokenizer.encode('A photo of<CAT-TOY>'), [...a, 49408, 49409]);
  assert.deepEqual(tokenizer.encode('sks sks dog'), [49410, 49411]);
  assert.deepEqual(tokenizer.encode('tasks sksy'), plain.encode('tasks sksy'));
  const { ids, count, truncated } = tokenizer.tokenize('sks cat', { length: 5 });
  assert.deepEqual([ids, count, truncated], [[49406, 49410, ...plain.encode('cat'), 49407, 49407], 4, false]);
  assert.equal(
    tokenizer.decode([...a, 49408, 49409, ...plain.encode('on a table')]),
    'a photo of <cat-toy> on a table',
  );
});
