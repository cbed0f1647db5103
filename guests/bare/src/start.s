// The arm64 Linux Image header, the first instructions, and the vectors.
// Linux, Documentation/arch/arm64/booting.rst; Arm ARM D1.4 for the vectors.

    .section .head, "ax"
    .global _head
_head:
    b       start
    .word   0
    .quad   0                       // text_offset
    .quad   _image_size
    .quad   0xA                     // little-endian, 4 KiB, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0

    // On a bare board firmware enters at EL2. Give EL1 the whole machine and return there.
to_el1:
    msr     daifset, #0xf
    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.ne    2f
    mov     x1, #(1 << 31)          // HCR_EL2.RW: EL1 is AArch64
    msr     hcr_el2, x1
    mrs     x1, cnthctl_el2
    orr     x1, x1, #3              // EL1 may use the physical counter and timer
    msr     cnthctl_el2, x1
    msr     cntvoff_el2, xzr
    mov     x1, #0x33ff             // CPTR_EL2: nothing traps
    msr     cptr_el2, x1
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    mrs     x1, midr_el1
    msr     vpidr_el2, x1
    mrs     x1, mpidr_el1
    msr     vmpidr_el2, x1
    mrs     x1, id_aa64pfr0_el1
    ubfx    x1, x1, #24, #4         // GIC system registers?
    cbz     x1, 1f
    mrs     x1, S3_4_C12_C9_5       // ICC_SRE_EL2
    mov     x2, #9                  // Enable, SRE
    orr     x1, x1, x2
    msr     S3_4_C12_C9_5, x1
    isb
1:  movz    x1, #0x30d0, lsl #16    // SCTLR_EL1: its RES1 bits, all else off
    movk    x1, #0x0800
    msr     sctlr_el1, x1
    mov     x1, #0x3c5              // EL1h, DAIF masked
    msr     spsr_el2, x1
    msr     elr_el2, x30
    eret
2:  ret

start:                              // x0 = device tree or 0; MMU and data cache off
    mov     x19, x0
    bl      to_el1
    msr     spsel, #1
    adrp    x1, _bss_start
    add     x1, x1, :lo12:_bss_start
    adrp    x2, _bss_end
    add     x2, x2, :lo12:_bss_end
    mov     sp, x2                  // the stack is the end of .bss
2:  stp     xzr, xzr, [x1], #16
    cmp     x1, x2
    b.lo    2b

    // Relocate: every entry of .rela.dyn is R_AARCH64_RELATIVE.
    adr     x1, _head
    movz    x2, #{link_base_high}, lsl #16
    sub     x2, x1, x2              // loaded address - linked address
    adrp    x3, _rela_start
    add     x3, x3, :lo12:_rela_start
    adrp    x4, _rela_end
    add     x4, x4, :lo12:_rela_end
3:  cmp     x3, x4
    b.hs    4f
    ldp     x5, x6, [x3], #16       // offset, type
    ldr     x7, [x3], #8            // addend
    cmp     x6, #1027               // R_AARCH64_RELATIVE
    b.ne    3b
    add     x7, x7, x2
    str     x7, [x5, x2]
    b       3b

4:  adrp    x2, vectors
    add     x2, x2, :lo12:vectors
    msr     vbar_el1, x2
    isb
    mov     x0, x19
    bl      bare_main                 // x0 = device tree, x1 = loaded address
5:  wfe
    b       5b

    // Another core, started by the first with PSCI CPU_ON. x0 = its Handover (arch.rs), cleaned
    // to memory; MMU and data cache off.
    .section .text.second, "ax"
second:
    mov     x19, x0
    bl      to_el1
    msr     spsel, #1
    ldp     x1, x2, [x19]           // MAIR, TCR
    ldp     x3, x4, [x19, #16]      // TTBR0, SCTLR
    ldp     x5, x6, [x19, #32]      // stack, where to go
    msr     mair_el1, x1
    msr     tcr_el1, x2
    msr     ttbr0_el1, x3
    isb
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    msr     sctlr_el1, x4
    isb
    mov     sp, x5
    adrp    x2, vectors
    add     x2, x2, :lo12:vectors
    msr     vbar_el1, x2
    isb
    br      x6                      // does not return

    // An exception that is not expected: print it and give up. x0 = vector number.
    .macro  unexpected number
    .balign 0x80
    mov     x0, #\number
    b       give_up
    .endm

    .section .text.vectors, "ax"
    .balign 0x800
vectors:
    unexpected 0
    unexpected 1
    unexpected 2
    unexpected 3
    // A synchronous exception of the guest's own may have been foreseen: then go where
    // BARE_FIXUP says (arch.rs). Without the stack: it may be what is broken.
    .balign 0x80
    msr     tpidr_el0, x0
    adrp    x0, BARE_FIXUP
    ldr     x0, [x0, :lo12:BARE_FIXUP]
    cbz     x0, 1f
    msr     elr_el1, x0
    mrs     x0, tpidr_el0
    eret
1:  mov     x0, #4
    b       give_up
    .balign 0x80                    // IRQ from EL1 on its own stack
    b       interrupt
    unexpected 6
    unexpected 7
    unexpected 8
    unexpected 9
    unexpected 10
    unexpected 11
    unexpected 12
    unexpected 13
    unexpected 14
    unexpected 15
    .balign 0x80

    // The registers that a called function may change. ELR and SPSR stay where they are:
    // interrupts do not nest.
interrupt:
    sub     sp, sp, #160
    stp     x0, x1, [sp]
    mrs     x0, cntvct_el0          // exception entry synchronised: cannot be read early
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x30, [sp, #144]
    bl      bare_interrupt            // x0 = counter on entry
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x30, [sp, #144]
    ldp     x0, x1, [sp]
    add     sp, sp, #160
    eret

give_up:
    msr     daifset, #0xf
    adrp    x1, _bss_end            // the stack may be what is broken: start it again
    add     x1, x1, :lo12:_bss_end
    mov     sp, x1
    mrs     x1, esr_el1
    mrs     x2, elr_el1
    mrs     x3, far_el1
    bl      bare_unexpected
6:  wfe
    b       6b
