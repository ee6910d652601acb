/* The four modes of a policy that shares its airframe's two mirrors: thrust, pitch, roll, yaw.
 *
 * In sums and differences over the four sisters of a hidden unit (and over the four motors of a slot of the action
 * history) a mode depends on that mode alone: every hidden layer is four small ones, together a quarter of the
 * multiply-adds and of the weights. tinyfly.modal says why. */
#ifndef TF_MODES_H
#define TF_MODES_H

#define TF_MODES 4

#endif
