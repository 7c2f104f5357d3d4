/** `sd models`: each kept model with what it is, as Python's cache lays them. */

import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { zeros } from '../../src/tensor/tensor.ts';
import { sd, temporaryFolder } from '../cli/run-cli.ts';

const commit = 'a'.repeat(40);

async function fileOf(...names: readonly string[]): Promise<Uint8Array> {
  const entries = names.map((name) => ({ name, dtype: 'float32', shape: [8, 8] }) as const);
  const parts: Uint8Array[] = [];
  for await (const part of writeSafetensors(entries, () => zeros('float32', [8, 8]))) parts.push(part);
  return Buffer.concat(parts);
}

test('sd models says what each kept file is, also of models without an organisation', async (context) => {
  const home = temporaryFolder(context);
  const keep = (repository: string, file: string, bytes: Uint8Array | string): void => {
    const folder = join(home, 'hub', `models--${repository}`);
    const [blob, path] = [join(folder, 'blobs', `${file.replace('/', '_')}1`), join(folder, 'snapshots', commit, file)];
    for (const each of [blob, path, join(folder, 'refs', 'main')]) mkdirSync(dirname(each), { recursive: true });
    writeFileSync(blob, bytes);
    symlinkSync(blob, path);
    writeFileSync(join(folder, 'refs', 'main'), commit);
  };
  keep('org--flux', 'flux1-dev.safetensors', await fileOf('double_blocks.0.img_attn.qkv.weight'));
  keep('org--flux', 'ae.safetensors', '<!doctype html>');
  keep('org--lora', 'style.safetensors', await fileOf('diffusion_model.blocks.0.self_attn.q.lora_A.weight'));
  keep(
    't5-small',
    'model.safetensors',
    await fileOf('shared.weight', 'encoder.block.0.layer.0.SelfAttention.q.weight'),
  );
  keep('org--odd', 'sub/x.safetensors', 'x');
  const environment = { HF_HOME: home };
  const { code, out } = await sd(['models'], { environment });
  assert.equal(code, 0);
  const lines = out.split('\n').map((line) => line.trim());
  assert.ok(lines.includes('flux1-dev.safetensors: a Flux model'), out);
  assert.ok(
    lines.some((line) => /^ae\.safetensors: .*is a web page saved under this name/.test(line)),
    out,
  );
  assert.ok(lines.includes('style.safetensors: a LoRA for Wan'), out);
  assert.ok(lines.includes("model.safetensors: T5's text encoder"), out);
  assert.ok(
    lines.some((line) => /t5-small {2}main$/.test(line)),
    out,
  );
  const { models } = JSON.parse((await sd(['models', '--json'], { environment })).out) as {
    models: readonly { readonly repository: string; readonly contents: readonly { readonly what: string }[] }[];
  };
  assert.deepEqual(models.map(({ repository, contents }) => [repository, contents.map(({ what }) => what)]).slice(1), [
    ['org/lora', ['a LoRA for Wan']],
    ['org/odd', []],
    ['t5-small', ["T5's text encoder"]],
  ]);
});

test('sd models lists the models of a folder too: --models, SD_MODELS, and of the trees of other programs', async (context) => {
  const home = temporaryFolder(context);
  const put = (path: string, bytes: Uint8Array | string): void => {
    mkdirSync(dirname(join(home, path)), { recursive: true });
    writeFileSync(join(home, path), bytes);
  };
  put('tree/models/Stable-diffusion/sub/flux.safetensors', await fileOf('double_blocks.0.img_attn.qkv.weight'));
  put('tree/models/Stable-diffusion/page.ckpt', '<!doctype html>');
  put('tree/models/Stable-diffusion/note.txt', 'x');
  const folder = join(home, 'tree/models/Stable-diffusion');
  const environment = { HF_HOME: join(home, 'none') };
  const ways: readonly (readonly [string[], Record<string, string>])[] = [
    [['--models', folder], {}],
    [[], { SD_MODELS: folder }],
    [['--a1111', join(home, 'tree')], {}],
    [[], { SD_A1111: join(home, 'tree') }],
  ];
  for (const [words, variables] of ways) {
    const { code, out } = await sd(['models', ...words], { environment: { ...environment, ...variables } });
    assert.equal(code, 0, out);
    const lines = out.split('\n').map((line) => line.trim());
    assert.ok(lines.includes('a Flux model'), out);
    assert.ok(
      lines.some((line) => line.endsWith('sub/flux.safetensors')),
      out,
    );
    assert.match(out, /web page saved under this name/);
    assert.doesNotMatch(out, /note\.txt/);
  }
  const { files } = JSON.parse(
    (await sd(['models', '--json'], { environment: { ...environment, SD_MODELS: folder } })).out,
  );
  assert.deepEqual(
    (files as { file: string }[]).map(({ file }) => file),
    ['page.ckpt', 'sub/flux.safetensors'],
  );
  mkdirSync(join(home, 'empty'));
  const empty = await sd(['models', '--models', join(home, 'empty')], { environment });
  assert.match(empty.out, /No models are in .*empty\./);
  const none = await sd(['models', '--models', join(home, 'nowhere')], { environment });
  assert.equal(none.code, 1);
  assert.match(none.err, /nowhere cannot be read/);
});
