/** A script of A1111 that `script_name` chooses: its title, its arguments as they stand in `script_args`, and what it does with a request. */

import type { ServerContext } from '../../../context.ts';
import type { Outpaint } from '../../../../generation/picture-fields.ts';
import { invalidField } from '../../../http/problem.ts';
import type { Caller } from '../../../http/picture-input.ts';
import type { JobDraft } from '../../../decide-job.ts';
import type { Answer } from '../../../http/route.ts';
import type { ImageToImageFields, TextToImageFields } from '../generation-fields.ts';

export type Body = TextToImageFields | ImageToImageFields;

/** An argument, as /sdapi/v1/script-info lists it. */
export interface ScriptArgument {
  readonly label: string;
  readonly value: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly step?: number;
  readonly choices?: readonly string[];
}

/** A request to a script. */
export interface ScriptCall {
  readonly context: ServerContext;
  readonly caller: Caller;
  readonly body: Body;
  readonly isImageToImage: boolean;
  readonly args: Arguments;
  /** The job of a changed body; pictures are those of the request. */
  readonly draftOf: (body: Body) => Promise<JobDraft>;
}

export interface Script {
  /** A1111's title; `script_name` is it in any case. */
  readonly title: string;
  readonly tasks: readonly ('txt2img' | 'img2img')[];
  /** In the order of `script_args`. */
  readonly args: (isImageToImage: boolean) => readonly ScriptArgument[];
  /** Outpainting: the setting of the one job that makes the picture. */
  readonly outpaint?: (args: Arguments) => Outpaint;
  /** Several jobs, and their answer. */
  readonly run?: (call: ScriptCall) => Promise<Answer>;
}

/** `script_args` by their places. A place that is left out has its default. */
export class Arguments {
  readonly #given: readonly unknown[];
  readonly #rows: readonly ScriptArgument[];

  constructor(given: readonly unknown[], rows: readonly ScriptArgument[]) {
    this.#given = given;
    this.#rows = rows;
  }

  get length(): number {
    return this.#given.length;
  }

  at(place: number): unknown {
    return this.#given[place] ?? this.#rows[place]?.value;
  }

  refuse(place: number, expected: string): never {
    throw invalidField(['body', 'script_args', place], `${this.#rows[place]?.label ?? 'argument'}: ${expected}`);
  }

  /** A number within the argument's bounds. */
  number(place: number): number {
    const value = Number(this.at(place));
    const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = this.#rows[place] ?? {};
    if (value >= minimum && value <= maximum) return value;
    return this.refuse(place, `ensure this value is from ${minimum} to ${maximum}`);
  }

  whole(place: number): number {
    const value = this.number(place);
    return Number.isInteger(value) ? value : this.refuse(place, 'ensure this value is a whole number');
  }

  flag(place: number): boolean {
    const value = this.at(place);
    return typeof value === 'boolean' ? value : this.refuse(place, 'ensure this value is true or false');
  }

  text(place: number): string {
    const value = this.at(place);
    return typeof value === 'string' ? value : this.refuse(place, 'ensure this value is a text');
  }

  /** One of the argument's choices, by name or number. */
  choice(place: number): string {
    const { choices = [] } = this.#rows[place] ?? {};
    const value = this.at(place);
    const found = typeof value === 'number' ? choices[value] : choices.find((one) => one === value);
    return found ?? this.refuse(place, `unexpected value; permitted: ${choices.join(', ')}`);
  }

  /** Some of the argument's choices. */
  choices(place: number): readonly string[] {
    const { choices = [] } = this.#rows[place] ?? {};
    const value = this.at(place);
    const list = (Array.isArray(value) ? value : [value]) as readonly unknown[];
    if (list.every((one) => choices.includes(one as string))) return list as readonly string[];
    return this.refuse(place, `unexpected value; permitted: ${choices.join(', ')}`);
  }
}
