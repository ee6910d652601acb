"""Builds firmware/core + one port + the generated policy, for the board the environment names.

The board file carries what differs: compiler, machine flags, port folder, memory map. One linker script
serves every Cortex-M board; the map reaches it as symbols.
"""

import shutil
import sys

from SCons.Script import COMMAND_LINE_TARGETS, AlwaysBuild, Default, DefaultEnvironment

INSTALL = {
    "arm-none-eabi-": "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi   "
    "(macOS: brew install --cask gcc-arm-embedded)",
    "": "apt install gcc   (macOS: xcode-select --install)",
}

env = DefaultEnvironment()
build = env.BoardConfig().get("build")
prefix = build["compiler"]
if not shutil.which(f"{prefix}gcc", path=env["ENV"]["PATH"]):
    sys.stderr.write(f"Error: {prefix}gcc is not on the PATH; install it: {INSTALL[prefix]}\n")
    env.Exit(1)

env.Replace(
    AR=f"{prefix}gcc-ar",
    AS=f"{prefix}gcc",
    CC=f"{prefix}gcc",
    CXX=f"{prefix}g++",
    LINK=f"{prefix}gcc",
    OBJCOPY=f"{prefix}objcopy",
    RANLIB=f"{prefix}gcc-ranlib",
    SIZETOOL=f"{prefix}size",
    PROGNAME="firmware",
    PROGSUFFIX=".elf" if prefix else "",
)

machine = build["machine_flags"]
port = "cortex_m" if prefix else "host"
env.Append(
    ASFLAGS=[*machine, "-x", "assembler-with-cpp"],
    CCFLAGS=[*machine, "-O2", "-g", "-ffunction-sections", "-fdata-sections", "-ffp-contract=off"],
    CFLAGS=["-std=c11"],
    CPPDEFINES=[("TF_TARGET", env.StringifyMacro(env["PIOENV"])), *build["defines"]],
    CPPPATH=["$PROJECT_SRC_DIR/core", f"$PROJECT_SRC_DIR/ports/{port}"],
    LINKFLAGS=[*machine, "-g"],
)
env["SRC_FILTER"] = ["+<core/>", f"+<ports/{port}/>", f"+<ports/{build['port']}/>"]
if "test" in env["BUILD_TYPE"]:
    env["SRC_FILTER"].append("-<ports/*/main.c>")  # the test brings its own

if prefix:
    env.Append(CCFLAGS=["-fno-common", "-fstack-usage"])
    env.Append(LINKFLAGS=["-nostartfiles", "--specs=nosys.specs", "-Wl,--gc-sections,--fatal-warnings"])
    for region, (origin, length) in build["memory"].items():
        env.Append(LINKFLAGS=[f"-Wl,--defsym=__{region}_origin={origin},--defsym=__{region}_length={length}"])
    env.Append(LINKFLAGS=['"-Wl,-Map,$BUILD_DIR/firmware.map"'])  # quoted: the folder's name may have a space
    env.Replace(LDSCRIPT_PATH=env.subst("$PROJECT_SRC_DIR/ports/cortex_m/cortex_m.ld"))
    env.Replace(
        SIZEPROGREGEXP=r"^(?:\.text|\.data)\s+(\d+)",
        SIZEDATAREGEXP=r"^(?:\.data|\.bss|\.noinit|\.stack)\s+(\d+)",
        SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
        SIZEPRINTCMD="$SIZETOOL -B -d $SOURCES",
    )
else:
    env.Replace(SIZEPRINTCMD="$SIZETOOL $SOURCES")

program = env.BuildProgram()
targets = [program]
if prefix:
    targets.append(
        env.Command(
            "$BUILD_DIR/firmware.bin",
            program,
            env.VerboseAction("$OBJCOPY -O binary $SOURCES $TARGET", "Writing $TARGET"),
        )
    )
AlwaysBuild(env.Alias("size", program, env.VerboseAction("$SIZEPRINTCMD", "Measuring $SOURCES")))
env.AddPlatformTarget("upload", targets, env.VerboseAction("$UPLOADCMD", "Uploading $SOURCES"), "Upload")
if "upload" in COMMAND_LINE_TARGETS and not env.GetProjectOption("upload_command"):
    sys.stderr.write(f"Error: {env['PIOENV']} is not uploaded: `tinyfly hil` starts it by itself\n")
    env.Exit(1)
Default(targets)
