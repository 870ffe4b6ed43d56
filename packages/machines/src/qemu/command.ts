import type { MachineSpec } from "../driver.ts";
import { memoryBytesOf } from "../microvm/config-disk.ts";
import { kernelArguments } from "../microvm/kernel-arguments.ts";
import { tapDevice, tapLinkAddress } from "../network/link.ts";
import { names } from "./names.ts";
import type { QemuDriverSettings } from "./options.ts";

const mebibyte = 1_048_576;
/** What emulation may keep of translated programs. */
const translationMebibytes = 64;

/** Of a machine with egress, whose QEMU runs where that device is. No program of the card's is loaded to boot from it. */
const networkCard = [
  ...["-netdev", `tap,id=net,ifname=${tapDevice},script=no,downscript=no`],
  ...["-device", `virtio-net-pci,netdev=net,mac=${tapLinkAddress},romfile=`],
];

/** Where the memory of a machine is that becomes a template, or of the template that it is a copy of. */
export interface MemoryFile {
  memory: string;
  isCopy?: boolean;
}

/**
 * The arguments of the QEMU that is a machine; it runs in the machine's directory.
 *
 * @param file Without one the memory is nobody else's.
 */
export function qemuArguments(spec: MachineSpec, settings: QemuDriverSettings, file?: MemoryFile): string[] {
  const { image, boot, accelerator } = settings;
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
    // A write of the guest is taken at once, so that nothing is under way when it turns itself off.
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

/** A template's memory is written to its file; a copy sees that, and writes what it changes elsewhere. */
function memoryOf({ memory, isCopy = false }: MemoryFile, mebibytes: number): string[] {
  const mapped = `mem-path=${escaped(memory)},share=${isCopy ? "off" : "on"}`;
  return [
    ...["-object", `memory-backend-file,id=memory,size=${mebibytes}M,${mapped}`],
    ...["-qmp", `unix:${names.orders},server=on,wait=off`],
    ...(isCopy ? ["-S", "-incoming", "defer"] : []),
  ];
}

/** A comma in a path is doubled. */
function escaped(path: string): string {
  return path.replaceAll(",", ",,");
}
