/** What lists of models say of each: its family, what it can make, and its native size. A file that cannot be used has none of them, and a reason. */

import * as z from 'zod';
import { tasks } from '../../generation/request.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { ServerContext } from '../context.ts';
import { withoutFolders } from '../without-folders.ts';

/** Fields of a row. */
export const describedFields = {
  family: z.string().nullable(),
  tasks: z.array(z.enum(tasks)),
  native_size: z.int().nullable(),
  /** Why it cannot be used: what it is. */
  unusable: z.string().nullable(),
};

/** The fields for a model; headers are read the first time. */
export async function describedModel({ models }: Pick<ServerContext, 'models'>, name: string) {
  try {
    const facts = await models.facts(name);
    return { family: facts.family, tasks: [...facts.tasks], native_size: facts.nativeSize, unusable: null };
  } catch (error) {
    if (!(error instanceof StableDiffusionError)) throw error;
    return { family: null, tasks: [], native_size: null, unusable: withoutFolders(error.message) };
  }
}
