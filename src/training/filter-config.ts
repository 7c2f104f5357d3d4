/** The section `filter` of a part of the data: which items are left out by their metadata. */

import * as z from 'zod';

const count = z.int().positive();
const share = z.number().min(0).max(1);

export const filterSchema = z.strictObject({
  minimum_size: count.optional().describe('minimum of the shorter side, in pixels'),
  maximum_aspect: z.number().min(1).optional().describe('maximum ratio of the longer to the shorter side'),
  minimum_aesthetics: z.number().optional().describe('minimum predicted rating, 0 to 10'),
  maximum_watermark: share.optional().describe('maximum predicted probability of a watermark'),
  maximum_unsafe: share.optional().describe('maximum predicted probability of unsafe content'),
  nsfw: z.array(z.string()).optional().describe("LAION's labels to accept: `UNLIKELY`, `UNSURE`, `NSFW`"),
  minimum_similarity: z.number().optional().describe("minimum similarity (CLIP's cosine) of caption and picture"),
  unknown: z
    .enum(['drop', 'keep'])
    .optional()
    .describe('what to do with items whose metadata lack a filtered field (default: `drop`)'),
});
