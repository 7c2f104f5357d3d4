/** A setting of a node that is not supported, refused by name. */

import { StableDiffusionError } from '../../errors.ts';

export function refuseSetting(node: string, setting: string, value: string, supported: readonly string[]): never {
  throw new StableDiffusionError(
    'invalid-argument',
    `${node} does not support the ${setting} ${value} here. Use ${supported.join(' or ')}.`,
  );
}
