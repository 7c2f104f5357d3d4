/** GET /api/v1/models: the models of the server, also those that it cannot use, and why. */

import * as z from 'zod';
import { StableDiffusionError } from '../../../errors.ts';
import { tasks } from '../../../generation/request.ts';
import type { ServerContext } from '../../context.ts';
import { defineRoute, json } from '../../http/route.ts';
import { withoutFolders } from '../../without-folders.ts';

/** What lists say of a model that can be used. */
export const usableModel = {
  name: z.string(),
  sha256: z.string().nullable(),
  size: z.int(),
  unit: z.int(),
  family: z.string(),
  tasks: z.array(z.enum(tasks)),
  readsPromptSyntax: z.boolean(),
  recommended: z.record(z.string(), z.unknown()),
  isDefault: z.boolean(),
};

interface ModelRow {
  readonly name: string;
  readonly sha256: string | null;
  readonly isDefault: boolean;
  readonly facts?: z.output<z.ZodObject<typeof usableModel>>;
  /** Why it cannot be used. */
  readonly unusable?: unknown;
}

/** A row for each model of the catalogue; headers are read the first time. */
export async function modelRows({ catalog, models }: Pick<ServerContext, 'catalog' | 'models'>): Promise<ModelRow[]> {
  const first = catalog.find(undefined).name;
  return Promise.all(
    catalog.list().map(async ({ name, sha256 }) => {
      const row = { name, sha256, isDefault: name === first };
      try {
        const { nativeSize: size, unit, family, tasks: of, readsPromptSyntax, recommended } = await models.facts(name);
        return {
          ...row,
          facts: { ...row, size, unit, family, tasks: [...of], readsPromptSyntax, recommended: { ...recommended } },
        };
      } catch (error) {
        return { ...row, unusable: error };
      }
    }),
  );
}

const reasonOf = (error: unknown): string =>
  error instanceof StableDiffusionError ? withoutFolders(error.message) : 'The file could not be read.';

export const listServerModels = defineRoute({
  method: 'GET',
  path: '/api/v1/models',
  summary: 'The models: family, tasks and native size of each, or why it cannot be used',
  flavour: 'own',
  response: z.object({
    models: z.array(
      z.object({
        ...usableModel,
        size: z.int().nullable(),
        unit: z.int().nullable(),
        family: z.string().nullable(),
        unusable: z.string().nullable(),
      }),
    ),
  }),
  handle: async (context) =>
    json({
      models: (await modelRows(context)).map(({ facts, unusable, ...row }) =>
        facts
          ? { ...facts, unusable: null }
          : {
              ...row,
              size: null,
              unit: null,
              family: null,
              tasks: [],
              readsPromptSyntax: false,
              recommended: {},
              unusable: reasonOf(unusable),
            },
      ),
    }),
});
