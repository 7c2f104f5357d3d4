/** What the recorded file sets expect of a file, and whether opening and reading it does that. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { StableDiffusionError } from '../../src/errors.ts';
import type { DType } from '../../src/tensor/dtype.ts';
import { bytesOf } from '../../src/tensor/tensor.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { safetensorsTypes } from '../../src/formats/safetensors.ts';
import { recordParity } from '../parity.ts';

export interface ExpectedTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Of the contiguous little-endian data. */
  readonly sha256: string;
}

export interface ExpectedFile {
  readonly expected: 'accept' | 'reject' | 'accept or clear error' | 'reject or report';
  readonly tensors?: Readonly<Record<string, ExpectedTensor>> | null | undefined;
}

/** Opens a file, reads every tensor and compares with what is expected; records a row for the verdict and one for each tensor. */
export async function checkVerdict(part: string, name: string, path: string, file: ExpectedFile): Promise<void> {
  let refusal: unknown;
  try {
    const source = await openWeightsAt(path);
    try {
      for (const [key, want] of Object.entries(file.tensors ?? {})) {
        const value = await source.read(key);
        const same =
          value.dtype === (safetensorsTypes.get(want.dtype) as DType) &&
          value.shape.join() === want.shape.join() &&
          createHash('sha256').update(bytesOf(value)).digest('hex') === want.sha256;
        recordParity({ part, case: name, output: key || '(empty name)', error: same ? 0 : 1, tolerance: 0 });
      }
      if (file.tensors) assert.deepEqual([...source.entries.keys()].sort(), Object.keys(file.tensors).sort());
      else for (const key of source.entries.keys()) await source.read(key);
    } finally {
      await source.close();
    }
  } catch (cause) {
    refusal = cause;
  }
  if (refusal !== undefined) {
    assert.ok(
      refusal instanceof StableDiffusionError,
      `${name}: ${refusal instanceof Error ? refusal.stack : refusal}`,
    );
    assert.match(refusal.code, /^file-/);
    assert.ok(refusal.message.includes(path), `the message names the file: ${refusal.message}`);
  }
  const verdict = refusal === undefined ? 'accept' : 'reject';
  const fits = file.expected.startsWith(verdict) || file.expected === 'accept or clear error';
  recordParity({
    part,
    case: name,
    output: 'verdict',
    error: fits ? 0 : 1,
    tolerance: 0,
    ...(refusal instanceof Error && { note: refusal.message.replaceAll(path, name) }),
  });
}
