/** The inputs of a workflow as a form: by node, each as its kind of input is written. */

import type { ExactJson } from 'stable-diffusion-ts/formats/exact-json.ts';
import { isSeedText } from 'stable-diffusion-ts/random/plain-seed.ts';
import { useId, useState } from 'react';
import type { FieldGroup, WorkflowField } from './opened-workflow.ts';

interface FieldProps {
  readonly field: WorkflowField;
  readonly onChange: (value: ExactJson) => void;
  /** Stores a picture on the server; its name there. */
  readonly onUpload: (file: File) => Promise<string>;
}

/** The names of a list, in either form of `/object_info`. */
function namesOf({ spec: [type, settings] }: WorkflowField): readonly string[] | undefined {
  if (Array.isArray(type)) return type as readonly string[];
  const options = type === 'COMBO' ? settings?.['options'] : undefined;
  return Array.isArray(options) ? (options as readonly string[]) : undefined;
}

/** A whole number beyond 2^53 stays exact. */
const numberOf = (text: string, isWhole: boolean): number | bigint | undefined => {
  if (!isWhole) return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : undefined;
  if (!isSeedText(text)) return undefined;
  const exact = BigInt(text);
  return Number.isSafeInteger(Number(exact)) ? Number(exact) : exact;
};

function NumberField({ id, field, onChange }: FieldProps & { readonly id: string }) {
  const [draft, setDraft] = useState<string>();
  const isWhole = field.spec[0] === 'INT';
  return (
    <input
      id={id}
      className="number"
      type="number"
      inputMode={isWhole ? 'numeric' : 'decimal'}
      step="any"
      value={draft ?? String(field.value)}
      onChange={(event) => {
        setDraft(event.target.value);
        const number = numberOf(event.target.value, isWhole);
        if (number !== undefined) onChange(number);
      }}
      onBlur={() => setDraft(undefined)}
    />
  );
}

function ListField({
  id,
  names,
  field,
  onChange,
}: FieldProps & { readonly id: string; readonly names: readonly string[] }) {
  const value = String(field.value);
  return (
    <select id={id} value={value} onChange={(event) => onChange(event.target.value)}>
      {!names.includes(value) && <option value={value}>{value} (not on this server)</option>}
      {names.map((name) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </select>
  );
}

function Field(props: FieldProps) {
  const { field, onChange, onUpload } = props;
  const id = useId();
  const names = namesOf(field);
  const [type, settings] = field.spec;
  const isPicture = settings?.['image_upload'] === true;
  return (
    <div className="field">
      <div className="field-head">
        <label htmlFor={id}>{field.input.replaceAll('_', ' ')}</label>
      </div>
      {names || isPicture ? (
        <ListField id={id} names={names ?? []} {...props} />
      ) : type === 'INT' || type === 'FLOAT' ? (
        <NumberField id={id} {...props} />
      ) : type === 'BOOLEAN' ? (
        <input
          id={id}
          type="checkbox"
          checked={field.value === true}
          onChange={(event) => onChange(event.target.checked)}
        />
      ) : settings?.['multiline'] === true ? (
        <textarea id={id} rows={3} value={String(field.value)} onChange={(event) => onChange(event.target.value)} />
      ) : (
        <input id={id} type="text" value={String(field.value)} onChange={(event) => onChange(event.target.value)} />
      )}
      {isPicture && (
        <input
          type="file"
          accept="image/*"
          aria-label={`Another picture for ${field.input}`}
          onChange={async (event) => {
            const [file] = event.target.files ?? [];
            if (file) onChange(await onUpload(file));
          }}
        />
      )}
    </div>
  );
}

export function WorkflowForm({
  groups,
  disabled,
  onChange,
  onUpload,
}: {
  readonly groups: readonly FieldGroup[];
  readonly disabled: boolean;
  readonly onChange: (node: string, input: string, value: ExactJson) => void;
  readonly onUpload: FieldProps['onUpload'];
}) {
  return (
    <>
      {groups.map(({ node, title, fields }) => (
        <fieldset key={node} className="workflow-node" disabled={disabled}>
          <legend>{title}</legend>
          {fields.map((field) => (
            <Field
              key={field.input}
              field={field}
              onChange={(value) => onChange(node, field.input, value)}
              onUpload={onUpload}
            />
          ))}
        </fieldset>
      ))}
    </>
  );
}
