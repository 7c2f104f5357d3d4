/** Kinds of files by a few of their names: the table, and that none of it takes a model of this program for something else. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { familyOf, familyOfUnrecognised } from '../../src/checkpoints/family.ts';
import { fileKinds, kindsWithLoras, lateKinds } from '../../src/checkpoints/file-kinds.ts';
import { modelFamilies } from '../../src/checkpoints/model-families.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { keySource } from '../families/key-lists.ts';
import { reference } from '../reference.ts';
import type { Shape } from '../../src/tensor/tensor.ts';
import { shapedSource } from './shaped-source.ts';

/** A name, or a name with its shape. */
type KnownName = string | readonly [name: string, ...shape: number[]];

/**
 * Names of files that people have, a few of each, with shapes where they decide, by the id of their kind: from ComfyUI's
 * comfy/model_detection.py and comfy/sd.py, diffusers' loaders/single_file_utils.py, and the published files.
 */
const knownNames: Readonly<Record<string, readonly (readonly KnownName[])[]>> = JSON.parse(
  readFileSync(new URL('known-names.json', import.meta.url), 'utf8'),
);

const file = (names: readonly KnownName[]): WeightSource => ({
  label: 'x.safetensors',
  entries: new Map(
    names.map((named) => {
      const [name, ...shape] = typeof named === 'string' ? [named, 8, 8] : named;
      return [name, { name, dtype: 'float16', shape }];
    }),
  ),
  read: () => assert.fail('only the header is needed'),
  close: async () => {},
});

for (const [id, files] of Object.entries(knownNames))
  test(`${id} is recognised in ${files.length === 1 ? 'its form' : `its ${files.length} forms`}, and named where it is opened as a model`, async () => {
    for (const names of files) {
      const family = familyOfUnrecognised(file(names).entries);
      assert.equal(family?.id, id, JSON.stringify(names));
      assert.match(`This is ${family?.name}. ${family?.advice}`, /^This is .*\. [A-Z].*[.>r]$/);
      await assert.rejects(openCheckpoint(file(names)), (error: { code: string; message: string }) => {
        assert.equal(error.code, 'model-unknown');
        const name = family?.name ?? '';
        // Where a network is recognised it has the name of that network.
        assert.ok(error.message.startsWith(`x.safetensors is ${name}`) || names.length > 1, error.message);
        assert.doesNotMatch(error.message, /no known layout/);
        return true;
      });
    }
  });

test('every row of the table has a file in this list, and ids are unique', () => {
  const rows = [...kindsWithLoras, ...fileKinds, ...lateKinds].map(({ id }) => id);
  assert.deepEqual(
    rows.filter((id) => !Object.hasOwn(knownNames, id) && id !== 'vae'),
    [],
  );
  assert.equal(new Set(rows).size, rows.length);
  const others = modelFamilies.filter(({ isRun }) => !isRun).map(({ id }) => `lora-${id}`);
  assert.deepEqual(
    others.filter((id) => !Object.hasOwn(knownNames, id)),
    [],
  );
});

test('no model of this program is taken for another kind', () => {
  const folder = reference('families/keys');
  const lists = readdirSync(folder).map((name) => `${folder}/${name}`);
  const v1 = JSON.parse(readFileSync(reference('files/full-size/keys.json'), 'utf8')) as {
    readonly keys: readonly (readonly [string, Shape])[];
  };
  const sources = [shapedSource(v1.keys, 'v1'), ...lists.map((path) => ({ ...keySource(path), label: path }))];
  assert.equal(sources.length, 8);
  const taken = sources.flatMap(({ entries, label: path }) => {
    const found = familyOf(entries);
    return found ? [`${path}: ${found.id}`] : [];
  });
  assert.deepEqual(taken, []);
});
