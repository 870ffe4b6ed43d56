/** The arguments of QEMU. */
import type { MachineSpec } from "../driver.ts";
import { memoryBytesOf } from "../microvm/config-disk.ts";
import { kernelArguments } from "../microvm/settings.ts";
import { tapDevice, tapLinkAddress } from "../network/link.ts";
import { names } from "./names.ts";
import type { QemuDriverSettings } from "./options.ts";

const mebibyte = 1_048_576;
/** Cache size for translated code under emulation, in MiB. */
const translationMebibytes = 64;

/** Network card of a machine with egress. Its boot ROM is not loaded. */
const networkCard = [
  ...["-netdev", `tap,id=net,ifname=${tapDevice},script=no,downscript=no`],
  ...["-device", `virtio-net-pci,netdev=net,mac=${tapLinkAddress},romfile=`],
];

/** File of a machine's memory, for a template or for a copy of one. */
export interface MemoryFile {
  memory: string;
  isCopy?: boolean;
}

/**
 * Builds the arguments of a machine's QEMU process, which runs in the machine's directory.
 *
 * @param file Memory file; without it, the memory is private.
 */
export function qemuArguments(spec: MachineSpec, settings: QemuDriverSettings, file?: MemoryFile): string[] {
  const { boot, accelerator } = settings;
  const image = spec.root?.path ?? settings.image;
  const memoryMebibytes = Math.floor(memoryBytesOf(spec, settings) / mebibyte);
  const vcpus = Math.max(Math.ceil(spec.limits.vcpus ?? 1), 1);
  const socket = (name: "frames" | "calls"): string[] => [
    ...["-chardev", `socket,id=${name},path=${names[name]},server=on,wait=off`],
    ...["-device", `virtserialport,chardev=${name},name=nex.${name}`],
  ];
  const disk = (id: string, path: string): string[] => [
    ...["-drive", `if=none,id=${id},file=${escaped(path)},format=raw,readonly=on,file.locking=off`],
    ...["-device", `virtio-blk-pci,drive=${id}`],
  ];
  return [
    ...["-name", `nex-${spec.id}`, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-machine", `q35,usb=off,vmport=off,smm=off${file === undefined ? "" : ",memory-backend=memory"}`],
    ...(file === undefined ? [] : memoryOf(file, memoryMebibytes)),
    ...["-accel", accelerator === "tcg" ? `tcg,tb-size=${translationMebibytes}` : "kvm"],
    ...["-cpu", accelerator === "tcg" ? "max" : "host", "-smp", String(vcpus), "-m", `${memoryMebibytes}M`],
    ...["-kernel", boot.kernel, "-initrd", boot.initramfs, "-append", kernelArguments.join(" ")],
    // Guest writes are handled synchronously, so that no output is lost when the guest powers off.
    ...["-device", "virtio-serial-pci,max_ports=4,ioeventfd=off"],
    ...[...socket("frames"), ...socket("calls")],
    ...["-chardev", `pipe,id=control,path=${names.control}`],
    ...["-device", "virtserialport,chardev=control,name=nex.control"],
    ...["-chardev", `file,id=serial,path=${names.control}.out`, "-serial", "chardev:serial"],
    ...[...disk("root", image), ...disk("config", names.config)],
    ...(spec.network === "egress" ? networkCard : []),
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
  ];
}

/** A template's memory is shared with its file. A copy maps the file privately. */
function memoryOf({ memory, isCopy = false }: MemoryFile, mebibytes: number): string[] {
  const mapped = `mem-path=${escaped(memory)},share=${isCopy ? "off" : "on"}`;
  return [
    ...["-object", `memory-backend-file,id=memory,size=${mebibytes}M,${mapped}`],
    ...["-qmp", `unix:${names.orders},server=on,wait=off`],
    ...(isCopy ? ["-S", "-incoming", "defer"] : []),
  ];
}

/** QEMU options escape a comma by doubling it. */
function escaped(path: string): string {
  return path.replaceAll(",", ",,");
}
