/** A file tree in memory, before it is written. */
import { join } from "node:path";
import { MachineError } from "../errors.ts";

/** Source of a file's bytes. A source that someone else may change is copied, never linked. */
export type Source = { path: string; mayChange?: true } | { text: string };

/** A file of a planned tree. */
export interface FileNode {
  kind: "file";
  source: Source;
  executable: boolean;
  /** The file is not world-readable. Absent for Nex's own files, which have no permissions yet. */
  isPrivate?: boolean;
}

/** A symbolic link of a planned tree. */
export interface LinkNode {
  kind: "link";
  target: string;
}

/** A directory of a planned tree. */
export interface DirectoryNode {
  kind: "directory";
  children: Map<string, TreeNode>;
  /** The directory is not accessible to all users. */
  isPrivate?: boolean;
}

/** An entry of the tree and the layer that created it. */
export type TreeNode = (FileNode | LinkNode | DirectoryNode) & { layer?: number };

/** A tree as lists, each sorted by path. */
export interface TreeList {
  files: [place: string, file: FileNode][];
  links: [place: string, target: string][];
  /** Empty directories. */
  directories: string[];
  /** Entries that are not world-readable; they are in no other list. */
  hidden: string[];
}

const entriesMax = 65_536;
const linksFollowedMax = 40;
const nameBytesMax = 255;
const placeBytesMax = 4_000;

/**
 * A planned tree. Nothing is written to disk for it, so its links can't redirect a writer. Links are resolved within
 * the tree, where `..` stops at the root as in a machine.
 */
export class FileTree {
  readonly #root: DirectoryNode & { layer?: number } = { kind: "directory", children: new Map() };
  /** Name of the tree in error messages. */
  readonly #title: string;
  #entries = 0;

  constructor(title = "the tree") {
    this.#title = title;
  }

  /**
   * Puts something at a place; the links of the directories above are followed, those that are missing are made. It takes
   * the place of what stands there, but a directory is joined with a directory.
   *
   * @returns where it is then.
   * @throws MachineError `rootfs_failed`
   */
  put(
    place: string,
    node: FileNode | LinkNode | { kind: "directory"; isPrivate?: boolean },
    layer = 0,
  ): string {
    const names = this.namesOf(place);
    const last = names.pop();
    if (last === undefined) return "/";
    const above = this.#directory(names, layer);
    const path = `/${[...above.names, last].join("/")}`;
    const standing = above.node.children.get(last);
    if (node.kind === "link") this.#demandInside(path, above.names.length, node.target);
    if (node.kind === "directory" && standing?.kind === "directory") {
      Object.assign(standing, node, { layer });
      return path;
    }
    const placed: TreeNode = node.kind === "directory" ? { ...node, children: new Map() } : { ...node };
    placed.layer = layer;
    above.node.children.set(last, placed);
    if (standing === undefined) this.#count();
    return path;
  }

  /** Returns the entry at a path, following links of its parent directories. */
  find(place: string): TreeNode | undefined {
    const names = this.namesOf(place);
    const last = names.pop();
    return last === undefined ? this.#root : this.#directory(names)?.node.children.get(last);
  }

  /** Removes the entry that a lower layer created at a path. */
  removeLower(place: string, layer: number): void {
    const names = this.namesOf(place);
    const last = names.pop();
    const above = this.#directory(names);
    const standing = last === undefined ? undefined : above?.node.children.get(last);
    if (above === undefined || last === undefined || standing === undefined) return;
    if ((standing.layer ?? 0) < layer) above.node.children.delete(last);
    else if (standing.kind === "directory") removeLowerChildren(standing, layer);
  }

  /** Removes the entries that lower layers created in a directory. */
  emptyLower(place: string, layer: number): void {
    const directory = this.#directory(this.namesOf(place))?.node;
    if (directory !== undefined) removeLowerChildren(directory, layer);
  }

  /** Replaces a path with an empty directory. */
  clear(place: string): void {
    const names = this.namesOf(place);
    const last = names.pop();
    if (last === undefined) return;
    this.#directory(names, 0).node.children.set(last, { kind: "directory", children: new Map() });
  }

  /** Lists the tree without entries that are not world-readable. */
  list(): TreeList {
    const list: TreeList = { files: [], links: [], directories: [], hidden: [] };
    addToList(list, "/", this.#root);
    const byPlace = ([a]: [string, unknown], [b]: [string, unknown]): number => (a < b ? -1 : 1);
    list.files.sort(byPlace);
    list.links.sort(byPlace);
    list.directories.sort();
    list.hidden.sort();
    return list;
  }

  /**
   * The names in a place, which may begin with `/` or `./`.
   *
   * @throws MachineError `rootfs_failed` when it leads upwards, or has a name that no image can hold.
   */
  namesOf(place: string): string[] {
    const names = place.split("/").filter((name) => name !== "" && name !== ".");
    const isOdd = names.some(
      (name) => name === ".." || isOddText(name) || Buffer.byteLength(name) > nameBytesMax,
    );
    if (!isOdd && Buffer.byteLength(place) <= placeBytesMax) return names;
    throw this.#failed(`"${shown(place)}" is no place in a rootfs`);
  }

  #directory(names: readonly string[], layer: number): { node: DirectoryNode; names: string[] };
  #directory(names: readonly string[]): { node: DirectoryNode; names: string[] } | undefined;
  #directory(names: readonly string[], layer?: number): { node: DirectoryNode; names: string[] } | undefined {
    const path: { name: string; node: DirectoryNode & { layer?: number } }[] = [];
    const ahead = [...names].reverse();
    let linksFollowed = 0;
    for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        path.pop();
        continue;
      }
      const { node } = path.at(-1) ?? { node: this.#root };
      let child = node.children.get(name);
      if (child?.kind === "link") {
        linksFollowed += 1;
        if (linksFollowed > linksFollowedMax) throw this.#failed(`its links lead around at "${shown(name)}"`);
        if (child.target.startsWith("/")) path.length = 0;
        ahead.push(...child.target.split("/").reverse());
        continue;
      }
      if (child?.kind !== "directory") {
        if (layer === undefined) return undefined;
        if (child === undefined) this.#count();
        child = { kind: "directory", children: new Map() };
        node.children.set(name, child);
      }
      if (layer !== undefined) child.layer = layer;
      path.push({ name, node: child });
    }
    return { node: path.at(-1)?.node ?? this.#root, names: path.map(({ name }) => name) };
  }

  /** A link may use `..` and absolute paths but must not leave the root: outside a machine, the tree has a parent. */
  #demandInside(path: string, depth: number, target: string): void {
    let at = target.startsWith("/") ? 0 : depth;
    const isOdd = target === "" || isOddText(target) || Buffer.byteLength(target) > placeBytesMax;
    for (const name of target.split("/")) {
      if (name === "..") at -= 1;
      else if (name !== "" && name !== ".") at += 1;
      if (at < 0 || isOdd)
        throw this.#failed(`its link "${shown(path)}" leads out of it, to "${shown(target)}"`);
    }
  }

  #count(): void {
    this.#entries += 1;
    if (this.#entries > entriesMax) throw this.#failed(`it has over ${entriesMax} entries`);
  }

  #failed(why: string): MachineError {
    return new MachineError("rootfs_failed", `Cannot use ${this.#title}: ${why}`);
  }
}

function removeLowerChildren({ children }: DirectoryNode, layer: number): void {
  for (const [name, child] of children) {
    if ((child.layer ?? 0) < layer) children.delete(name);
    else if (child.kind === "directory") removeLowerChildren(child, layer);
  }
}

function addToList(list: TreeList, place: string, { children }: DirectoryNode): void {
  for (const [name, child] of children) {
    const inside = join(place, name);
    if (child.kind === "link") list.links.push([inside, child.target]);
    else if (child.kind === "file") {
      if (child.isPrivate === true) list.hidden.push(inside);
      else list.files.push([inside, child]);
    } else if (child.children.size === 0) list.directories.push(inside);
    else if (child.isPrivate === true) {
      list.hidden.push(inside);
      const previous = list.files.length;
      addOwn(list, inside, child);
      if (list.files.length === previous) list.directories.push(inside);
    } else addToList(list, inside, child);
  }
}

/** For an inaccessible directory, only entries that Nex added are kept. */
function addOwn(list: TreeList, place: string, { children }: DirectoryNode): void {
  for (const [name, child] of children) {
    const inside = join(place, name);
    if (child.kind === "file" && child.isPrivate === undefined) list.files.push([inside, child]);
    else if (child.kind === "directory") addOwn(list, inside, child);
  }
}

/** Control characters or invalid UTF-8, which image listings do not show unchanged. */
function isOddText(text: string): boolean {
  return /[\p{Cc}\ufffd]/u.test(text);
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 200)).slice(1, -1);
}
