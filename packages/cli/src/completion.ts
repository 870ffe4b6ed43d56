/** Completes a command line; the candidates are read from the commands themselves. */
import type { Command, Option } from "commander";

/** Something that can stand next. */
export interface Candidate {
  word: string;
  description: string;
}

interface Place {
  command: Command;
  /** How many of the command's arguments are there already. */
  operands: number;
  /** The option whose value comes next. */
  awaiting: Option | undefined;
}

/**
 * The candidates for the last of some words.
 *
 * @param words What follows the program's name; the last one, perhaps empty, is being typed.
 * @returns an empty list where files, or nothing that is known, can stand.
 */
export function candidates(program: Command, words: readonly string[]): Candidate[] {
  const typed = words.at(-1) ?? "";
  const place = placeOf(program, words.slice(0, -1));
  return allAt(place, typed).filter(({ word }) => word.startsWith(typed));
}

function allAt({ command, operands, awaiting }: Place, typed: string): Candidate[] {
  if (awaiting !== undefined) return (awaiting.argChoices ?? []).map(plain);
  if (typed.startsWith("-")) return optionsOf(command).flatMap(longForm);
  if (command.commands.length > 0) {
    return command.commands.map((child) => ({ word: child.name(), description: child.description() }));
  }
  return (command.registeredArguments[operands]?.argChoices ?? []).map(plain);
}

function placeOf(program: Command, words: readonly string[]): Place {
  const place: Place = { command: program, operands: 0, awaiting: undefined };
  for (const word of words) {
    if (place.awaiting !== undefined) {
      place.awaiting = undefined;
    } else if (word.startsWith("-")) {
      const option = optionsOf(place.command).find(({ long, short }) => word === long || word === short);
      place.awaiting = option?.required || option?.optional ? option : undefined;
    } else {
      const child = place.command.commands.find(
        (command) => command.name() === word || command.aliases().includes(word),
      );
      if (child === undefined) place.operands++;
      else place.command = child;
    }
  }
  return place;
}

/** Options of the command, and of all commands above it. */
function optionsOf(command: Command): Option[] {
  const inherited = command.parent === null ? [] : optionsOf(command.parent);
  return [...command.options, ...inherited];
}

function longForm({ long, description }: Option): Candidate[] {
  return long ? [{ word: long, description }] : [];
}

function plain(word: string): Candidate {
  return { word, description: "" };
}
