/** A list whose length is checked before its elements, because each wrong element would add an issue. */

import * as z from 'zod';

export const boundedList = <T extends z.ZodType>(element: T, most: number) =>
  z
    .custom<unknown[]>((value) => !Array.isArray(value) || value.length <= most, {
      error: `ensure this value has at most ${most} elements`,
      abort: true,
    })
    .pipe(z.array(element).max(most));
