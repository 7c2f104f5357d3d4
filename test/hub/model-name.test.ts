/** Names of models as people write them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseModelName } from '../../src/hub/model-name.ts';
import { shortNames } from '../../src/hub/short-names.ts';

const hub = (repository: string, revision = 'main', file?: string) => ({ kind: 'hub', repository, revision, file });

test('names of the hub, and its addresses', () => {
  for (const [text, wanted] of [
    ['org/name', hub('org/name')],
    ['hf:org/name', hub('org/name')],
    ['hf:org/name@fp16', hub('org/name', 'fp16')],
    ['hf:org/name/a/b.safetensors', hub('org/name', 'main', 'a/b.safetensors')],
    ['hf:org/name@v1/b.ckpt', hub('org/name', 'v1', 'b.ckpt')],
    ['https://huggingface.co/org/name', hub('org/name')],
    ['https://HuggingFace.co/org/name/', hub('org/name')],
    ['huggingface.co/org/name/raw/v1/x.gguf', hub('org/name', 'v1', 'x.gguf')],
    [
      'https://huggingface.co/org/name/resolve/main/x.safetensors?download=true',
      hub('org/name', 'main', 'x.safetensors'),
    ],
    ['https://huggingface.co/org/name/blob/fp16/vae/a%20b.bin', hub('org/name', 'fp16', 'vae/a b.bin')],
  ] as const)
    assert.deepEqual(parseModelName(text), wanted, text);
});

test('Civitai, AIR and other addresses', () => {
  const version = { kind: 'civitai', version: 128713 };
  for (const text of [
    'civitai:128713',
    'civitai:4384@128713',
    'urn:air:sd1:checkpoint:civitai:4384@128713',
    'https://civitai.com/models/4384?modelVersionId=128713',
    'https://civitai.com/models/4384/dreamshaper?modelVersionId=128713#gallery',
    'civitai.com/api/download/models/128713',
  ])
    assert.deepEqual(parseModelName(text), version, text);
  assert.throws(() => parseModelName('https://civitai.com/models/4384/dreamshaper'), {
    code: 'invalid-argument',
    message: /modelVersionId/,
  });
  // A query chooses another file than the version's first.
  const chosen = 'https://civitai.com/api/download/models/128713?type=Model&format=PickleTensor';
  assert.deepEqual(parseModelName(chosen), { kind: 'address', url: chosen });
  const url = 'https://example.org/m/x.safetensors';
  assert.deepEqual(parseModelName(url), { kind: 'address', url });
});

test('hf://, pull requests, and AIR with formats, of Hugging Face, and without a version', () => {
  for (const [text, wanted] of [
    ['hf://org/name@fp16/a.ckpt', hub('org/name', 'fp16', 'a.ckpt')],
    ['hf:org/name@refs/pr/12/a.ckpt', hub('org/name', 'refs/pr/12', 'a.ckpt')],
    ['urn:air:sdxl:vae:huggingface:stabilityai/sdxl-vae', hub('stabilityai/sdxl-vae')],
    ['urn:air:sd1:checkpoint:civitai:4384@128713.safetensors', { kind: 'civitai', version: 128713 }],
    ['air:sd1:checkpoint:civitai:4384@128713', { kind: 'civitai', version: 128713 }],
  ] as const)
    assert.deepEqual(parseModelName(text), wanted, text);
  // 4384 is the model; it is no version.
  assert.throws(() => parseModelName('urn:air:sd1:checkpoint:civitai:4384'), { code: 'invalid-argument' });
});

test('paths are paths', () => {
  for (const text of [
    'model.safetensors',
    './org/name',
    'models/x.ckpt',
    '/a/b',
    'a/b/c',
    'C:\\x\\y',
    '../a/b',
    'org/',
  ])
    assert.equal(parseModelName(text), undefined, text);
});

test('what leaves a repository, or is malformed, is refused', () => {
  for (const text of [
    'hf:org',
    'hf:../x',
    'hf:org/name/../../etc/passwd',
    'hf:org/name/a\\b',
    'civitai:x',
    'urn:air:x',
    'hf:org/name@..',
  ])
    assert.throws(() => parseModelName(text), { code: 'invalid-argument' }, text);
});

test('every short name is a name', () => {
  for (const [short, { name, licence, bytes }] of Object.entries(shortNames)) {
    assert.deepEqual(parseModelName(short), parseModelName(name));
    assert.equal(parseModelName(name)?.kind, 'hub');
    assert.ok(licence.length > 0 && bytes > 0);
  }
});
