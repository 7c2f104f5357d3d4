/** The checks of one node's inputs and of the nodes before it, in ComfyUI's kinds and words of errors. */

import { isExactObject, isWrittenFloat } from '../formats/exact-json.ts';
import { type ApiGraph, type ApiNode, inputsFault, isLink } from './graph.ts';
import { type InputSpec, type NameLists, namesOf } from './input-spec.ts';
import type { NodeTable, NodeType } from './definition.ts';
import { inputConfig } from './object-info.ts';
import {
  ConversionError,
  pythonBool,
  pythonFloat,
  pythonInt,
  pythonRepr,
  pythonStr,
  pythonTypeName,
} from './python-text.ts';
import { linkedOutput } from './link-checks.ts';
import { CheckFailed, exceptionError, validationError as error, type ValidationError } from './validation-error.ts';

export interface Checked {
  readonly valid: boolean;
  readonly errors: readonly ValidationError[];
}

/** Longer chains of nodes are refused: ComfyUI ends them by Python's limit of recursion. */
const deepest = 950;

/** More names than these are not listed in a message. */
const longestList = 20;

interface GivenValue {
  readonly name: string;
  readonly spec: InputSpec;
  readonly value: unknown;
  /** A whole number that is a float in Python. */
  readonly isFloat: boolean;
}

const converters: Readonly<Record<string, (value: unknown, isFloat: boolean) => unknown>> = {
  INT: pythonInt,
  FLOAT: pythonFloat,
  STRING: pythonStr,
  BOOLEAN: pythonBool,
};

/** Whether what an output gives can be an input's value: equal types, `*`, or one of several in common. */
export function typesFit(received: string | readonly string[], wanted: unknown): boolean {
  if (typeof received !== 'string' || typeof wanted !== 'string') return received === wanted;
  const split = (types: string): string[] => types.split(',').map((type) => type.trim());
  const [from, to] = [split(received), split(wanted)];
  return from.includes('*') || to.includes('*') || from.some((type) => to.includes(type));
}

/** Type and settings as errors have them: settings are there even if they are empty. */
const checkedConfig = (spec: InputSpec, lists: NameLists): readonly unknown[] => {
  const [type, settings = {}] = inputConfig(spec, lists);
  return [type, settings];
};

export class NodeValidation {
  /** The result for each node that was looked at. */
  readonly checked = new Map<string, Checked>();
  /** Those with errors of their own. */
  readonly wrong = new Map<string, Checked>();
  /** Converted values by node and input. */
  readonly values = new Map<string, Record<string, unknown>>();
  readonly #graph: ApiGraph;
  readonly #nodes: NodeTable;
  readonly #lists: NameLists;
  readonly #open = new Set<string>();

  constructor(graph: ApiGraph, nodes: NodeTable, lists: NameLists) {
    this.#graph = graph;
    this.#nodes = nodes;
    this.#lists = lists;
  }

  /** An output node with all before it. */
  output(id: string): Checked {
    try {
      return this.#check(id);
    } catch (error) {
      if (!(error instanceof CheckFailed)) throw error;
      const failed = { valid: false, errors: [exceptionError('exception_during_validation', error)] };
      this.#note(id, failed);
      return failed;
    }
  }

  #note(id: string, result: Checked): void {
    this.checked.set(id, result);
    if (!result.valid && result.errors.length > 0) this.wrong.set(id, result);
  }

  #check(id: string): Checked {
    const known = this.checked.get(id);
    if (known) return known;
    if (this.#open.has(id) || this.#open.size > deepest)
      throw new CheckFailed(
        'RecursionError',
        this.#open.has(id)
          ? `maximum recursion depth exceeded: node ${id} depends on itself`
          : 'maximum recursion depth exceeded',
      );
    const node = this.#graph.get(id) as ApiNode;
    const type = this.#nodes.get(node.class_type ?? '') as NodeType;
    this.#open.add(id);
    try {
      const { errors, valid } = this.#inputs(id, node, type);
      // In a circle its own check failed inside it.
      errors.push(...(this.checked.get(id)?.errors ?? []));
      const result = { valid: valid && errors.length === 0, errors };
      this.#note(id, result);
      return result;
    } finally {
      this.#open.delete(id);
    }
  }

  #inputs(id: string, node: ApiNode, type: NodeType): { readonly errors: ValidationError[]; readonly valid: boolean } {
    const errors: ValidationError[] = [];
    let valid = true;
    const fault = inputsFault(node);
    if (fault) throw new CheckFailed(fault.exception, fault.message);
    for (const [name, spec] of Object.entries({ ...type.required, ...type.optional })) {
      const value = node.inputs[name];
      if (value === undefined) {
        if (type.required?.[name])
          errors.push(error('required_input_missing', 'Required input is missing', name, { input_name: name }));
      } else if (Array.isArray(value)) {
        const found = this.#link(name, spec, value);
        if (found === false) valid = false;
        else if (found) errors.push(found);
      } else {
        const found = this.#value(id, type, { name, spec, value, isFloat: isWrittenFloat(node.inputs, name) });
        if (found) errors.push(found);
      }
    }
    errors.push(...this.#custom(id, node, type));
    return { errors, valid };
  }

  /** What is wrong with a link, false where the node before it is. */
  #link(name: string, spec: InputSpec, link: readonly unknown[]): ValidationError | false | undefined {
    const info = { input_name: name, input_config: checkedConfig(spec, this.#lists) };
    if (link.length !== 2)
      return error('bad_linked_input', 'Bad linked input, must be a length-2 list of [node_id, slot_index]', name, {
        ...info,
        received_value: link,
      });
    const { node, type: received } = linkedOutput(this.#graph, this.#nodes, link);
    if (!typesFit(received, spec[0]))
      return error(
        'return_type_mismatch',
        'Return type mismatch between linked nodes',
        `${name}, received_type(${pythonStr(received)}) mismatch input_type(${pythonStr(namesOf(spec, this.#lists) ?? spec[0])})`,
        { ...info, received_type: received, linked_node: link },
      );
    return this.#source(node, info, link);
  }

  #source(
    id: string,
    info: Readonly<Record<string, unknown>>,
    link: readonly unknown[],
  ): ValidationError | false | undefined {
    try {
      return this.#check(id).valid ? undefined : false;
    } catch (failure) {
      if (!(failure instanceof CheckFailed)) throw failure;
      const inner = exceptionError('exception_during_inner_validation', failure);
      const extra_info = { ...info, exception_message: failure.message, ...inner.extra_info, linked_node: link };
      this.#note(id, { valid: false, errors: [{ ...inner, extra_info }] });
      return false;
    }
  }

  /** Converts a value and says what is wrong with it. */
  #value(
    id: string,
    type: NodeType,
    { name, spec, value: given, isFloat: wasFloat }: GivenValue,
  ): ValidationError | undefined {
    const [kind, settings = {}] = spec;
    const info = { input_name: name, input_config: checkedConfig(spec, this.#lists) };
    const isWrapped = isExactObject(given) && '__value__' in given;
    let value = isWrapped ? given['__value__'] : given;
    let isFloat = isWrapped ? isWrittenFloat(given, '__value__') : wasFloat;
    try {
      const convert = typeof kind === 'string' ? converters[kind] : undefined;
      if (convert) value = convert(value, isFloat);
      if (convert) isFloat = kind === 'FLOAT';
    } catch (cause) {
      if (!(cause instanceof ConversionError)) throw cause;
      return error(
        'invalid_input_type',
        `Failed to convert an input value to a ${kind} value`,
        `${name}, ${pythonStr(value, isFloat)}, ${cause.message}`,
        { ...info, received_value: value, exception_message: cause.message },
      );
    }
    this.values.set(id, Object.assign(this.values.get(id) ?? {}, { [name]: value }));
    if (type.validates?.includes(name)) return undefined;
    return this.#range(spec, settings, value, info) ?? this.#listed(spec, value, info, isFloat);
  }

  #range(
    [kind]: InputSpec,
    settings: Readonly<Record<string, unknown>>,
    value: unknown,
    info: Readonly<Record<string, unknown>>,
  ): ValidationError | undefined {
    if (typeof value !== 'number' && typeof value !== 'bigint') return undefined;
    const print = (number: unknown): string =>
      typeof number === 'bigint' ? String(number) : pythonStr(number, kind === 'FLOAT');
    const [min, max] = [settings['min'], settings['max']] as (number | bigint | undefined)[];
    const name = String(info['input_name']);
    if (min !== undefined && value < min)
      return error('value_smaller_than_min', `Value ${print(value)} smaller than min of ${print(min)}`, name, {
        ...info,
        received_value: value,
      });
    if (max !== undefined && value > max)
      return error('value_bigger_than_max', `Value ${print(value)} bigger than max of ${print(max)}`, name, {
        ...info,
        received_value: value,
      });
    return undefined;
  }

  #listed(
    spec: InputSpec,
    value: unknown,
    info: Readonly<Record<string, unknown>>,
    isFloat: boolean,
  ): ValidationError | undefined {
    // Lists of the newer form (COMBO) are not checked before the node runs.
    const names = typeof spec[0] === 'string' ? undefined : namesOf(spec, this.#lists);
    if (!names || names.includes(value as string)) return undefined;
    const isLong = names.length > longestList;
    const shown = isLong ? `(list of length ${names.length})` : pythonRepr(names);
    return error(
      'value_not_in_list',
      'Value not in list',
      `${info['input_name']}: '${pythonStr(value, isFloat)}' not in ${shown}`,
      {
        ...info,
        input_config: isLong ? null : info['input_config'],
        received_value: value,
      },
    );
  }

  /** What the node itself says of its inputs. */
  #custom(id: string, node: ApiNode, type: NodeType): ValidationError[] {
    const { validateInputs, validates = [] } = type;
    if (!validateInputs) return [];
    const inputs: Record<string, unknown> = { ...node.inputs, ...this.values.get(id) };
    for (const name of validates)
      if (isFileName(type, name)) assertText(type.name, name, inputs[name], isWrittenFloat(node.inputs, name));
    const answer = validateInputs(inputs, this.#lists);
    if (answer === true) return [];
    return validates.flatMap((name) =>
      name in inputs
        ? [
            error('custom_validation_failed', 'Custom validation failed for node', `${name} - ${answer}`, {
              input_name: name,
            }),
          ]
        : [],
    );
  }
}

const isFileName = ({ required, optional }: NodeType, name: string): boolean => {
  const kind = { ...required, ...optional }[name]?.[0];
  return typeof kind === 'object' && 'folder' in kind;
};

/** Throws what ComfyUI's checks of a file's name raise for a name that is not given, is a link or is no text. */
function assertText(node: string, name: string, value: unknown, isFloat: boolean): void {
  if (typeof value === 'string') return;
  if (value === undefined)
    throw new CheckFailed('TypeError', `${node}.VALIDATE_INPUTS() missing 1 required positional argument: '${name}'`);
  const type = isLink(value) ? 'NoneType' : pythonTypeName(value, isFloat);
  throw new CheckFailed('AttributeError', `'${type}' object has no attribute 'endswith'`);
}
