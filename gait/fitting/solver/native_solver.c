/* Levenberg-Marquardt for the poses of many frames, compiled: the same objective, equations and stopping rules as
 * levenberg_marquardt.py with batched_normal_equations.py and block_solver.py, which document the mathematics.
 *
 * LANES frames are solved together, one in each lane of a vector: a value of type `lanes` is one number of each of
 * these frames, and every statement on it is that statement for each frame. So the code reads like that for a single
 * frame, and a frame's result doesn't depend on those beside it. A frame that has ended waits for the others of its
 * vector.
 *
 * Layout. Frames are along the first axis of all arrays of the caller; within a frame, vectors and matrices lie one
 * after the other, rows first. Here, a value per joint j or marker m is at [3 * j + axis], [4 * j + component],
 * [9 * j + 3 * row + column]. A pose has for each joint a unit quaternion x, y, z, w, and one translation; positions
 * are metres relative to the centroid of the frame's visible markers. The parameters are three for each joint, then
 * the translation.
 *
 * Joint k moves a point that is at x at rest to R_k (x - rest_k) + p_k. A virtual marker is a sum of such terms, times
 * skinning weights. The lever arm r of a marker about joint j is the sum of the terms of j and of the joints below it,
 * minus their weight times p_j: rotating joint j by a small d, in world axes, moves the marker by d x r. So the columns
 * of a joint in the Jacobian are D = -[r]x, and each block of the curvature is a sum of
 *     D_i' D_j = (r_i . r_j) I - r_j r_i'.
 * Pose blend shapes move a marker's place at rest by b, which is linear in a feature of each joint's rotation. They add
 * B db/dfeature dfeature/dparameters to the columns, with the mean world rotation B at the marker; the columns are then
 * any matrices.
 *
 * Nothing depends on Python: the caller passes plain arrays (native.py). No state is kept between calls, so calls may
 * run in parallel.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16 };
typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t mask __attribute__((vector_size(4 * LANES))); /* -1 where true, 0 where false */

/* Each of these functions is compiled for several instruction sets; the loader takes the best that the processor has.
 * ("fma" stands for 256-bit vectors.) They pass vectors in memory alone, so that all versions call each other alike. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && !defined(ONE_TARGET)
#define FOR_EACH_TARGET __attribute__((noinline, target_clones("avx512f", "fma", "default")))
#else
#define FOR_EACH_TARGET __attribute__((noinline))
#endif
#define INLINE static inline __attribute__((always_inline))

/* --- one subject: what native.py passes --------------------------------------------------------------------------- */

typedef struct {
    int32_t num_joints, num_markers, num_limbs, num_trunk;
    const int32_t *parent;       /* (J,) parents come before their children; -1 for the root, which is joint 0 */
    const double *bone;          /* (J, 3) from the parent's place at rest to the joint's; of the root, its place */
    const int32_t *term_start;   /* (M + 1,) the terms of marker m are term_start[m] to term_start[m + 1] - 1 */
    const int32_t *term_joint;   /* (terms,) */
    const double *term_weight;   /* (terms,) skinning weight */
    const double *term_place;    /* (terms, 3) skinning weight times the place relative to the joint at rest */
    const uint8_t *is_below;     /* (J, J) [j, k] whether joint k is j or a descendant of j */
    const int32_t *limb_start;   /* (G + 1,) into limb_joint */
    const int32_t *limb_joint;   /* from the trunk outwards */
    const int32_t *trunk_joint;  /* (K,) */
    const int32_t *copy_start;   /* (G + 1,) into copy_marker: the markers of each limb */
    const int32_t *copy_marker;
    const float *copy_scale;     /* the root of the number of limbs among which the marker is divided */
    const float *precision;      /* (M,) 1/m^2 */
    const float *robust_m;       /* (M,) Huber's threshold */
    const float *mean_inverse;   /* (J, 4) inverse of the prior's mean rotation */
    const float *prior_precision; /* (J, 3) */
    const float *lower, *upper;  /* (J, 3) range of motion; infinite where unlimited */
    float limit_precision;
    int32_t num_features;        /* F of each joint: 4 of its quaternion, 9 of its matrix; 0 without blend shapes */
    const float *posedirs;       /* (M, 3, J, F) */
    const uint8_t *hinged;       /* (J,); NULL for a body without hinges, as are the following */
    const double *first_axis, *second_axis; /* (J, 3) */
    const float *angle_lower, *angle_upper; /* (J, 2) limits of the hinge angles; NULL without limits */
} Subject;

typedef struct {
    int64_t num_frames;
    const double *rotations;   /* (T, J, 3, 3) where to start */
    const double *translation; /* (T, 3) */
    const double *angles;      /* (T, J, 2) of hinges, or NULL */
    const double *markers;     /* (T, M, 3) any value where not visible */
    const uint8_t *visible;    /* (T, M) */
} Frames;

typedef struct {
    const double *rotations;             /* (T, J, 3, 3) */
    const double *translation;           /* (T, 3) */
    const double *rotation_precision;    /* (T, J) */
    const double *translation_precision; /* (T,) */
} Target;

typedef struct {
    int32_t max_iterations, reuse_factors;
    float tolerance, damping, max_step_rad;
} Options;

typedef struct {
    double *rotations, *translation, *angles, *cost; /* (T, J, 3, 3), (T, 3), (T, J, 2) or NULL, (T,) */
    int64_t *iterations;                             /* (T,) */
    float *start_curvature;                          /* (T, J + 1, 3, 3) that of the markers at the start, or NULL */
} Result;

/* For tests: the objective and its derivatives where the frames start. */
typedef struct {
    double *cost;     /* (T,) */
    float *gradient;  /* (T, D), D = 3 J + 3 */
    float *curvature; /* (T, D, D) */
    float *step;      /* (T, D) with the damping of the options */
    float *gain;      /* (T,) */
} Linearization;

/* --- arithmetic on lanes ------------------------------------------------------------------------------------------ */

INLINE lanes fill(float value) { return value - (lanes){0}; }
INLINE lanes choose(mask where, lanes a, lanes b) { return (lanes)((where & (mask)a) | (~where & (mask)b)); }
INLINE lanes smaller(lanes a, lanes b) { return choose(a < b, a, b); }
INLINE lanes larger(lanes a, lanes b) { return choose(a > b, a, b); }
INLINE lanes absolute(lanes a) { return (lanes)((mask)a & 0x7fffffff); }

INLINE lanes root(lanes a) {
    lanes result;
    for (int i = 0; i < LANES; i++) result[i] = __builtin_sqrtf(a[i]);
    return result;
}

INLINE int any(mask where) {
    int32_t found = 0;
    for (int i = 0; i < LANES; i++) found |= where[i];
    return found != 0;
}

INLINE lanes dot(const lanes a[3], const lanes b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

INLINE void cross(lanes out[3], const lanes a[3], const lanes b[3]) {
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

/* out = matrix * vector, and out = transpose of matrix * vector. */
INLINE void rotate(lanes out[3], const lanes m[9], const lanes v[3]) {
    for (int c = 0; c < 3; c++) out[c] = m[3 * c] * v[0] + m[3 * c + 1] * v[1] + m[3 * c + 2] * v[2];
}
INLINE void rotate_back(lanes out[3], const lanes m[9], const lanes v[3]) {
    for (int c = 0; c < 3; c++) out[c] = m[c] * v[0] + m[3 + c] * v[1] + m[6 + c] * v[2];
}

INLINE void multiply_matrices(lanes out[9], const lanes a[9], const lanes b[9]) {
    for (int r = 0; r < 3; r++, a += 3)
        for (int c = 0; c < 3; c++) out[3 * r + c] = a[0] * b[c] + a[1] * b[3 + c] + a[2] * b[6 + c];
}

/* --- quaternions, as in quaternions.py ---------------------------------------------------------------------------- */

INLINE void multiply_quaternions(lanes out[4], const lanes p[4], const lanes q[4]) {
    out[0] = p[3] * q[0] + p[0] * q[3] + p[1] * q[2] - p[2] * q[1];
    out[1] = p[3] * q[1] + p[1] * q[3] + p[2] * q[0] - p[0] * q[2];
    out[2] = p[3] * q[2] + p[2] * q[3] + p[0] * q[1] - p[1] * q[0];
    out[3] = p[3] * q[3] - p[0] * q[0] - p[1] * q[1] - p[2] * q[2];
}

INLINE void quaternion_to_matrix(lanes m[9], const lanes q[4]) {
    lanes x2 = q[0] + q[0], y2 = q[1] + q[1], z2 = q[2] + q[2];
    lanes xx = q[0] * x2, yy = q[1] * y2, zz = q[2] * z2, xy = q[0] * y2, xz = q[0] * z2, yz = q[1] * z2;
    lanes wx = q[3] * x2, wy = q[3] * y2, wz = q[3] * z2;
    m[0] = 1 - yy - zz, m[1] = xy - wz, m[2] = xz + wy;
    m[3] = xy + wz, m[4] = 1 - xx - zz, m[5] = yz - wx;
    m[6] = xz - wy, m[7] = yz + wx, m[8] = 1 - xx - yy;
}

/* Quaternion of a rotation vector of at most MAX_STEP_RAD; for a half angle of 0.3 the series are exact to 1e-9. */
INLINE void from_rotvec(lanes q[4], const lanes v[3]) {
    lanes h = 0.25f * dot(v, v); /* square of the half angle */
    lanes sinc = 1 + h * (-1 / 6.f + h * (1 / 120.f + h * (-1 / 5040.f)));
    for (int c = 0; c < 3; c++) q[c] = 0.5f * sinc * v[c];
    q[3] = 1 + h * (-1 / 2.f + h * (1 / 24.f + h * (-1 / 720.f)));
}

/* Angle in [0, pi/2] of a point in the first quadrant. By arctan t = pi/4 + arctan((t - 1)/(t + 1)) the argument of the
 * odd polynomial is at most tan(pi/8); its coefficients are a least-squares fit, exact to single precision. */
INLINE lanes arctangent(lanes y, lanes x) {
    mask steep = y > x;
    lanes over = choose(steep, x, y), under = larger(choose(steep, y, x), fill(1e-30f));
    mask large = over > 0.41421356f * under;
    lanes t = choose(large, over - under, over) / choose(large, over + under, under);
    lanes s = t * t;
    lanes angle = t + t * s * (-0.33332955f + s * (0.19977926f + s * (-0.1387985f + s * 0.08060309f)));
    angle += choose(large, fill(0.78539816f), fill(0));
    return choose(steep, 1.57079633f - angle, angle);
}

/* Rotation vector of a unit quaternion; returns the coefficient of the Jacobian (``quaternions.to_rotvec``). */
INLINE lanes to_rotvec(lanes v[3], const lanes q[4]) {
    lanes w = absolute(q[3]), sine = root(dot(q, q)), half = arctangent(sine, w);
    mask small = half < 0.03f;
    lanes safe = choose(small, fill(1), sine), safe_half = choose(small, fill(1), half);
    lanes scale = choose(small, 2 + sine * sine * (1 / 3.f), 2 * half / safe);
    scale = choose(q[3] < 0, -scale, scale);
    for (int c = 0; c < 3; c++) v[c] = q[c] * scale;
    return choose(small, 1 / 12.f + half * half * (1 / 180.f), (1 - half * w / safe) / (4 * safe_half * safe_half));
}

/* Add J'^-1 * gradient, J the left Jacobian of the rotation vector v (``apply_inverse_jacobian_transpose``). */
INLINE void add_by_rotation(lanes sum[3], const lanes v[3], lanes coefficient, const lanes gradient[3]) {
    lanes across[3], along = coefficient * dot(v, gradient), kept = 1 - coefficient * dot(v, v);
    cross(across, v, gradient);
    for (int c = 0; c < 3; c++) sum[c] += gradient[c] * kept + 0.5f * across[c] + along * v[c];
}

static void quaternion_of_matrix(double q[4], const double m[9]) {
    double trace = m[0] + m[4] + m[8], norm = 0;
    int largest = 3;
    double value = trace;
    for (int k = 2; k >= 0; k--)
        if (m[4 * k] > value) value = m[4 * k], largest = k;
    if (largest == 3) {
        q[0] = m[7] - m[5], q[1] = m[2] - m[6], q[2] = m[3] - m[1], q[3] = 1 + trace;
    } else {
        int a = largest, b = (a + 1) % 3, c = (a + 2) % 3;
        q[a] = 1 + 2 * m[4 * a] - trace;
        q[b] = m[3 * a + b] + m[3 * b + a];
        q[c] = m[3 * a + c] + m[3 * c + a];
        q[3] = m[3 * c + b] - m[3 * b + c];
    }
    for (int k = 0; k < 4; k++) norm += q[k] * q[k];
    norm = 1 / sqrt(norm);
    for (int k = 0; k < 4; k++) q[k] *= norm;
}

static void matrix_of_quaternion(double m[9], const double q[4]) {
    double n = 2 / (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    double xx = n * q[0] * q[0], yy = n * q[1] * q[1], zz = n * q[2] * q[2], xy = n * q[0] * q[1], xz = n * q[0] * q[2];
    double yz = n * q[1] * q[2], wx = n * q[3] * q[0], wy = n * q[3] * q[1], wz = n * q[3] * q[2];
    m[0] = 1 - yy - zz, m[1] = xy - wz, m[2] = xz + wy;
    m[3] = xy + wz, m[4] = 1 - xx - zz, m[5] = yz - wx;
    m[6] = xz - wy, m[7] = yz + wx, m[8] = 1 - xx - yy;
}

/* Quaternion of two hinges: rotations about the first and the second axis by minus the angles
 * (``ConstrainedJoints.rotations``). */
static void quaternion_of_hinges(double q[4], const double u[3], const double v[3], const double angle[2]) {
    double s = -sin(0.5 * angle[0]), c = cos(0.5 * angle[0]), r = -sin(0.5 * angle[1]), d = cos(0.5 * angle[1]);
    int double_hinge = v[0] != 0 || v[1] != 0 || v[2] != 0;
    if (!double_hinge) r = 0, d = 1;
    q[0] = s * d * u[0] + c * r * v[0] + s * r * (u[1] * v[2] - u[2] * v[1]);
    q[1] = s * d * u[1] + c * r * v[1] + s * r * (u[2] * v[0] - u[0] * v[2]);
    q[2] = s * d * u[2] + c * r * v[2] + s * r * (u[0] * v[1] - u[1] * v[0]);
    q[3] = c * d - s * r * (u[0] * v[0] + u[1] * v[1] + u[2] * v[2]);
}

/* Pose feature of a hinge joint, and its derivatives in the two angles
 * (``ConstrainedJoints.pose_feature_and_jacobian``). */
static void feature_of_hinges(double found[3][4], const double u[3], const double v[3], const double angle[2]) {
    double f[2][2][4]; /* of each hinge, its own feature and the derivative */
    int double_hinge = v[0] != 0 || v[1] != 0 || v[2] != 0;
    for (int h = 0; h < 2; h++) {
        double sine = sin(0.5 * angle[h]), cosine = cos(0.5 * angle[h]);
        for (int c = 0; c < 3; c++) {
            f[h][0][c] = sine * (h ? v : u)[c];
            f[h][1][c] = 0.5 * cosine * (h ? v : u)[c];
        }
        f[h][0][3] = cosine - 1;
        f[h][1][3] = -0.5 * sine;
    }
    for (int k = 0; k < 3; k++) {
        const double *p = f[1][k == 2], *q = f[0][k == 1];
        for (int c = 0; c < 3; c++) {
            int d = (c + 1) % 3, e = (c + 2) % 3;
            found[k][c] = p[3] * q[c] + q[3] * p[c] + p[d] * q[e] - p[e] * q[d]; /* Hamilton product */
        }
        found[k][3] = p[3] * q[3] - p[0] * q[0] - p[1] * q[1] - p[2] * q[2];
        if (!double_hinge)
            for (int c = 0; c < 4; c++) found[k][c] = k < 2 ? f[0][k][c] : 0;
    }
}

/* --- memory of one vector of frames ------------------------------------------------------------------------------- */

typedef struct {
    lanes *rotations;   /* [4 J] */
    lanes *translation; /* [3] */
    lanes *angles;      /* [2 J] of hinges */
} PoseLanes;

typedef struct {
    int num_targets;
    /* data of the frames (``FrameData``) */
    double centroid[LANES][3];
    lanes *observed;                /* [3 M] */
    lanes *precision;               /* [M] zero where not visible */
    lanes *target_inverse;          /* [4 J] of each target */
    lanes *target_precision;        /* [J] of each target */
    lanes *target_translation;      /* [3] of each target */
    lanes *target_translation_precision; /* [1] of each target */
    /* what evaluate() finds at a pose */
    lanes *world;           /* [9 J] rotation of each joint */
    lanes *position;        /* [3 J] of each joint */
    lanes *term;            /* [3 terms] contribution of a joint to a marker */
    lanes *weight;          /* [M] robust weight, 1/m^2 */
    lanes *force;           /* [3 M] residual times weight */
    lanes *joint_gradient;  /* [3 J] of the joint terms, in the axes of the parent */
    lanes *joint_curvature; /* [3 J] the same, diagonal */
    lanes *axes;            /* [9 J] rows: the axis of each parameter in world axes; of free joints see axes_of() */
    lanes *feature;          /* [F J] of the pose, for blend shapes */
    lanes *feature_jacobian; /* [3 F J] its derivative in the joint's parameters, rows of each feature */
    lanes *blended;          /* [9 M] mean world rotation at each marker */
    lanes cost;
    lanes *gradient; /* [3 J + 3] */
    /* curvature (``BlockNormalEquations``), then its factors (``BlockFactors``) */
    lanes *arms, *weighted_arms; /* [3 (limb + trunk)] for each marker of a limb */
    lanes *jacobian;             /* [9 (limb + trunk)] the same, for blend shapes */
    lanes *own_curvature;        /* [9 J] of each joint, by the markers alone */
    lanes *limb;                 /* lower triangle of each limb, rows of its l parameters */
    lanes *across;               /* [l, t] of each limb */
    lanes *trunk;                /* [t, t] lower triangle, t = 3 K + 3 */
    lanes *added;                /* [3 J + 3] what damping added to the diagonal */
    lanes *halves, *trunk_side;  /* L^-1 gradient of all limbs; right side of the trunk */
    lanes *step;                 /* [3 J + 3] */
    PoseLanes best, candidate, second;
} Workspace;

INLINE int limb_size(const Subject *s, int g) { return 3 * (s->limb_start[g + 1] - s->limb_start[g]); }
INLINE int trunk_size(const Subject *s) { return 3 * s->num_trunk + 3; }
/* Parameter of the row i of a limb, or of the trunk, among those of the pose. */
INLINE int limb_parameter(const Subject *s, int g, int i) {
    return 3 * s->limb_joint[s->limb_start[g] + i / 3] + i % 3;
}
INLINE int trunk_parameter(const Subject *s, int i) {
    return i < 3 * s->num_trunk ? 3 * s->trunk_joint[i / 3] + i % 3 : 3 * (s->num_joints - s->num_trunk) + i;
}

static PoseLanes take_pose(lanes **free, int J) {
    PoseLanes pose = {*free, *free + 4 * J, *free + 4 * J + 3};
    *free += 6 * J + 3;
    return pose;
}

static lanes *take(lanes **free, int count) {
    lanes *taken = *free;
    *free += count;
    return taken;
}

/* Divide one block of memory among the arrays of a workspace; return how many lanes they need. */
static int64_t arrange(Workspace *w, lanes *memory, const Subject *s, int num_targets) {
    int J = s->num_joints, M = s->num_markers, F = s->num_features, D = 3 * J + 3, t = trunk_size(s);
    int limb = 0, across = 0, arms = 0;
    for (int g = 0; g < s->num_limbs; g++) {
        int l = limb_size(s, g), n = (s->copy_start[g + 1] - s->copy_start[g]) * (l + t - 3);
        limb += l * l, across += l * t, arms = n > arms ? n : arms;
    }
    lanes *free = memory;
    w->num_targets = num_targets;
    w->observed = take(&free, 3 * M), w->precision = take(&free, M);
    w->target_inverse = take(&free, 4 * J * num_targets), w->target_precision = take(&free, J * num_targets);
    w->target_translation = take(&free, 3 * num_targets), w->target_translation_precision = take(&free, num_targets);
    w->world = take(&free, 9 * J), w->position = take(&free, 3 * J), w->term = take(&free, 3 * s->term_start[M]);
    w->weight = take(&free, M), w->force = take(&free, 3 * M);
    w->joint_gradient = take(&free, 3 * J), w->joint_curvature = take(&free, 3 * J), w->axes = take(&free, 9 * J);
    w->feature = take(&free, F * J), w->feature_jacobian = take(&free, 3 * F * J);
    w->blended = take(&free, F ? 9 * M : 0);
    w->gradient = take(&free, D), w->arms = take(&free, arms), w->weighted_arms = take(&free, arms);
    w->jacobian = take(&free, F ? 3 * arms : 0);
    w->own_curvature = take(&free, 9 * J), w->limb = take(&free, limb);
    w->across = take(&free, across), w->trunk = take(&free, t * t);
    w->added = take(&free, D), w->halves = take(&free, D), w->trunk_side = take(&free, t), w->step = take(&free, D);
    w->best = take_pose(&free, J), w->candidate = take_pose(&free, J), w->second = take_pose(&free, J);
    return free - memory;
}

/* Prepare LANES frames from `first` on; past the last frame, it is repeated. */
static void load_frames(
    Workspace *w, const Subject *s, const Frames *frames, const Target *targets, int64_t first
) {
    int J = s->num_joints, M = s->num_markers;
    double q[4];
    for (int i = 0; i < LANES; i++) {
        int64_t t = first + i < frames->num_frames ? first + i : frames->num_frames - 1;
        const double *markers = frames->markers + 3 * M * t, *translation = frames->translation + 3 * t;
        const uint8_t *visible = frames->visible + M * t;
        double *centroid = w->centroid[i];
        int number = 0;
        centroid[0] = centroid[1] = centroid[2] = 0;
        for (int m = 0; m < M; m++)
            if (visible[m]) {
                number++;
                for (int c = 0; c < 3; c++) centroid[c] += markers[3 * m + c];
            }
        for (int c = 0; c < 3; c++) centroid[c] /= number ? number : 1;
        for (int m = 0; m < M; m++) {
            w->precision[m][i] = visible[m] ? s->precision[m] : 0;
            for (int c = 0; c < 3; c++) w->observed[3 * m + c][i] = visible[m] ? markers[3 * m + c] - centroid[c] : 0;
        }
        for (int j = 0; j < J; j++) {
            quaternion_of_matrix(q, frames->rotations + 9 * (J * t + j));
            for (int k = 0; k < 4; k++) w->best.rotations[4 * j + k][i] = q[k];
            for (int k = 0; k < 2; k++)
                w->best.angles[2 * j + k][i] = frames->angles ? frames->angles[2 * (J * t + j) + k] : 0;
        }
        for (int c = 0; c < 3; c++) w->best.translation[c][i] = translation[c] - centroid[c];
        for (int r = 0; r < w->num_targets; r++) {
            const Target *target = targets + r;
            for (int j = 0; j < J; j++) {
                quaternion_of_matrix(q, target->rotations + 9 * (J * t + j));
                for (int k = 0; k < 4; k++) w->target_inverse[4 * (J * r + j) + k][i] = k < 3 ? -q[k] : q[k];
                w->target_precision[J * r + j][i] = target->rotation_precision[J * t + j];
            }
            for (int c = 0; c < 3; c++)
                w->target_translation[3 * r + c][i] = target->translation[3 * t + c] - centroid[c];
            w->target_translation_precision[r][i] = target->translation_precision[t];
        }
    }
}

/* Write the poses of the frames of a workspace (``to_matrix_pose``). */
static void store_frames(
    const Workspace *w, const Subject *s, int64_t first, int64_t num_frames, const Result *result
) {
    int J = s->num_joints;
    for (int i = 0; i < LANES && first + i < num_frames; i++) {
        int64_t t = first + i;
        for (int j = 0; j < J; j++) {
            double q[4];
            for (int k = 0; k < 4; k++) q[k] = w->best.rotations[4 * j + k][i];
            if (s->hinged) {
                double *angle = result->angles + 2 * (J * t + j);
                for (int k = 0; k < 2; k++) angle[k] = w->best.angles[2 * j + k][i];
                if (s->hinged[j]) quaternion_of_hinges(q, s->first_axis + 3 * j, s->second_axis + 3 * j, angle);
            }
            matrix_of_quaternion(result->rotations + 9 * (J * t + j), q);
        }
        for (int c = 0; c < 3; c++) result->translation[3 * t + c] = w->best.translation[c][i] + w->centroid[i][c];
    }
}

/* --- the objective and its derivatives ---------------------------------------------------------------------------- */

/* Add the terms of pose prior, range of motion and soft targets of joint j (``_joint_terms``). */
INLINE void add_joint_terms(Workspace *w, const Subject *s, const PoseLanes *pose, int j) {
    int J = s->num_joints;
    const lanes *own = pose->rotations + 4 * j;
    lanes *gradient = w->joint_gradient + 3 * j, *curvature = w->joint_curvature + 3 * j;
    lanes away[3], weighted[3], difference[4], reference[4], square = {0};
    lanes coefficient = to_rotvec(away, own);
    for (int c = 0; c < 3; c++) {
        lanes beyond = away[c] - larger(smaller(away[c], fill(s->upper[3 * j + c])), fill(s->lower[3 * j + c]));
        weighted[c] = s->limit_precision * beyond;
        square += weighted[c] * beyond;
        curvature[c] = choose(beyond != 0, fill(s->limit_precision), fill(0)) + s->prior_precision[3 * j + c];
        gradient[c] = fill(0);
    }
    add_by_rotation(gradient, away, coefficient, weighted);
    for (int k = 0; k < 4; k++) reference[k] = fill(s->mean_inverse[4 * j + k]);
    multiply_quaternions(difference, own, reference);
    coefficient = to_rotvec(away, difference);
    for (int c = 0; c < 3; c++) {
        weighted[c] = s->prior_precision[3 * j + c] * away[c];
        square += weighted[c] * away[c];
    }
    add_by_rotation(gradient, away, coefficient, weighted);
    for (int r = 0; r < w->num_targets; r++) { /* a gradient along the rotation axis isn't changed by the Jacobian */
        lanes precision = w->target_precision[J * r + j];
        multiply_quaternions(difference, own, w->target_inverse + 4 * (J * r + j));
        to_rotvec(away, difference);
        for (int c = 0; c < 3; c++) {
            gradient[c] += precision * away[c];
            curvature[c] += precision;
            square += precision * away[c] * away[c];
        }
    }
    w->cost += 0.5f * square;
}

/* World rotation of the parent of joint j; the identity for the root. */
INLINE void parent_world(lanes out[9], const Workspace *w, const Subject *s, int j) {
    for (int k = 0; k < 9; k++) out[k] = s->parent[j] < 0 ? fill(k % 4 == 0) : w->world[9 * s->parent[j] + k];
}

/* Angles beyond the limits that the user gave. */
INLINE lanes beyond_angle_bounds(const Subject *s, const PoseLanes *pose, int j, int k) {
    lanes angle = pose->angles[2 * j + k];
    return angle - larger(smaller(angle, fill(s->angle_upper[2 * j + k])), fill(s->angle_lower[2 * j + k]));
}

/* Write the world axes of the parameters of joint j as rows (``parameter_axes_world``); return whether it is hinged. */
INLINE int hinge_axes(Workspace *w, const Subject *s, const PoseLanes *pose, int j) {
    if (!s->hinged || !s->hinged[j]) return 0;
    const double *u = s->first_axis + 3 * j, *v = s->second_axis + 3 * j;
    lanes above[9], first[3], second[3];
    for (int i = 0; i < LANES; i++) {
        /* the second axis turned by the first hinge, about u by minus its angle (Rodrigues), in the parent's axes */
        double sine = -sin(pose->angles[2 * j][i]), cosine = cos(pose->angles[2 * j][i]);
        double along = (1 - cosine) * (u[0] * v[0] + u[1] * v[1] + u[2] * v[2]);
        for (int c = 0; c < 3; c++) {
            int d = (c + 1) % 3, e = (c + 2) % 3;
            first[c][i] = -u[c];
            second[c][i] = -(cosine * v[c] + sine * (u[d] * v[e] - u[e] * v[d]) + along * u[c]);
        }
    }
    parent_world(above, w, s, j);
    rotate(w->axes + 9 * j, above, first);
    rotate(w->axes + 9 * j + 3, above, second);
    for (int c = 0; c < 3; c++) w->axes[9 * j + 6 + c] = fill(0);
    return 1;
}

/* Find the features of joint j, and their derivatives (``pose_feature_and_jacobian``). */
INLINE void find_features(Workspace *w, const Subject *s, const PoseLanes *pose, int j) {
    int F = s->num_features, hinged = hinge_axes(w, s, pose, j);
    lanes *feature = w->feature + F * j, *jacobian = w->feature_jacobian + 3 * F * j, above[9];
    const lanes *q = pose->rotations + 4 * j;
    parent_world(above, w, s, j);
    if (F == 4 && hinged) {
        for (int i = 0; i < LANES; i++) {
            double found[3][4], angle[2] = {pose->angles[2 * j][i], pose->angles[2 * j + 1][i]};
            feature_of_hinges(found, s->first_axis + 3 * j, s->second_axis + 3 * j, angle);
            for (int k = 0; k < 4; k++) {
                feature[k][i] = found[0][k];
                for (int c = 0; c < 3; c++) jacobian[3 * k + c][i] = c < 2 ? found[c + 1][k] : 0;
            }
        }
    } else if (F == 4) {
        lanes v[4], change[3];
        for (int k = 0; k < 4; k++) v[k] = choose(q[3] < 0, -q[k], q[k]);
        for (int k = 0; k < 4; k++) feature[k] = v[k] - (float)(k == 3);
        lanes rows[12] = {v[3], v[2], -v[1], -v[2], v[3], v[0], v[1], -v[0], v[3], -v[0], -v[1], -v[2]};
        for (int k = 0; k < 4; k++) {
            rotate(change, above, rows + 3 * k);
            for (int c = 0; c < 3; c++) jacobian[3 * k + c] = 0.5f * change[c];
        }
    } else {
        lanes local[9];
        quaternion_to_matrix(local, q);
        for (int k = 0; k < 9; k++) feature[k] = local[k] - (float)(k % 4 == 0);
        for (int c = 0; c < 3; c++) {
            lanes axis[3], change[3]; /* of parameter c in the axes of the parent; it turns the columns of the matrix */
            if (hinged) rotate_back(axis, above, w->axes + 9 * j + 3 * c);
            else memcpy(axis, above + 3 * c, sizeof axis);
            for (int d = 0; d < 3; d++) {
                lanes column[3] = {local[d], local[3 + d], local[6 + d]};
                cross(change, axis, column);
                for (int r = 0; r < 3; r++) jacobian[3 * (3 * r + d) + c] = change[r];
            }
        }
    }
}

/* Sum the products of the blend shapes of marker m with the features of all joints: the shift of its place at rest. */
INLINE void blend_shift(lanes shift[3], const Workspace *w, const Subject *s, int m) {
    int size = s->num_joints * s->num_features;
    for (int c = 0; c < 3; c++) {
        const float *directions = s->posedirs + size * (3 * m + c);
        shift[c] = fill(0);
        for (int k = 0; k < size; k++) shift[c] += directions[k] * w->feature[k];
    }
}

/* Compute the objective at a pose, and what its derivatives need. It is always computed here, so that a frame's
 * objective at a pose has the same bits wherever two of them are compared. */
FOR_EACH_TARGET static void evaluate(Workspace *w, const Subject *s, const PoseLanes *pose) {
    int J = s->num_joints, M = s->num_markers;
    w->cost = fill(0);
    for (int j = 0; j < J; j++) {
        lanes local[9], above[9], bone[3];
        for (int c = 0; c < 3; c++) bone[c] = fill(s->bone[3 * j + c]);
        quaternion_to_matrix(local, pose->rotations + 4 * j);
        if (s->parent[j] < 0) {
            memcpy(w->world + 9 * j, local, sizeof local);
            for (int c = 0; c < 3; c++) w->position[3 * j + c] = bone[c] + pose->translation[c];
        } else {
            parent_world(above, w, s, j);
            multiply_matrices(w->world + 9 * j, above, local);
            rotate(w->position + 3 * j, above, bone);
            for (int c = 0; c < 3; c++) w->position[3 * j + c] += w->position[3 * s->parent[j] + c];
        }
        add_joint_terms(w, s, pose, j);
        if (s->num_features) find_features(w, s, pose, j);
        if (s->angle_lower)
            for (int k = 0; k < 2; k++) {
                lanes beyond = beyond_angle_bounds(s, pose, j, k);
                w->cost += 0.5f * s->limit_precision * beyond * beyond;
            }
    }
    for (int m = 0; m < M; m++) {
        lanes residual[3] = {fill(0), fill(0), fill(0)}, shift[3], *blended = w->blended + 9 * m;
        if (s->num_features) {
            blend_shift(shift, w, s, m);
            for (int k = 0; k < 9; k++) blended[k] = fill(0);
        }
        for (int n = s->term_start[m]; n < s->term_start[m + 1]; n++) {
            int k = s->term_joint[n];
            lanes place[3];
            for (int c = 0; c < 3; c++) place[c] = fill(s->term_place[3 * n + c]);
            if (s->num_features) {
                for (int c = 0; c < 3; c++) place[c] += fill(s->term_weight[n]) * shift[c];
                for (int c = 0; c < 9; c++) blended[c] += fill(s->term_weight[n]) * w->world[9 * k + c];
            }
            rotate(w->term + 3 * n, w->world + 9 * k, place);
            for (int c = 0; c < 3; c++) {
                w->term[3 * n + c] += fill(s->term_weight[n]) * w->position[3 * k + c];
                residual[c] += w->term[3 * n + c];
            }
        }
        mask visible = w->precision[m] > 0;
        for (int c = 0; c < 3; c++) residual[c] = choose(visible, residual[c] - w->observed[3 * m + c], fill(0));
        lanes distance = root(dot(residual, residual)), near = smaller(distance, fill(s->robust_m[m]));
        w->cost += w->precision[m] * near * (distance - 0.5f * near);
        w->weight[m] = w->precision[m] * near / larger(distance, fill(1e-12f));
        for (int c = 0; c < 3; c++) w->force[3 * m + c] = residual[c] * w->weight[m];
    }
    for (int r = 0; r < w->num_targets; r++)
        for (int c = 0; c < 3; c++) {
            lanes away = pose->translation[c] - w->target_translation[3 * r + c];
            w->cost += 0.5f * w->target_translation_precision[r] * away * away;
        }
}

/* Add the gradient through the blend shapes of all markers (``_blendshape_gradient``). */
FOR_EACH_TARGET static void add_blendshape_gradient(Workspace *w, const Subject *s) {
    int J = s->num_joints, M = s->num_markers, F = s->num_features;
    lanes *by_feature = w->step; /* [9] at most are used at a time; the step isn't used yet */
    for (int j = 0; j < J; j++) {
        for (int k = 0; k < F; k++) by_feature[k] = fill(0);
        for (int m = 0; m < M; m++) {
            lanes force[3];
            rotate_back(force, w->blended + 9 * m, w->force + 3 * m);
            for (int c = 0; c < 3; c++)
                for (int k = 0; k < F; k++) by_feature[k] += s->posedirs[F * (J * (3 * m + c) + j) + k] * force[c];
        }
        for (int k = 0; k < F; k++)
            for (int c = 0; c < 3; c++)
                w->gradient[3 * j + c] += w->feature_jacobian[3 * (F * j + k) + c] * by_feature[k];
    }
}

/* Compute the gradient at the pose of evaluate(). A force f at y turns every joint p above it: the torque is
 * y x f - p x f. */
FOR_EACH_TARGET static void find_gradient(Workspace *w, const Subject *s, const PoseLanes *pose) {
    int J = s->num_joints, M = s->num_markers;
    lanes *force = w->step, *torque = w->gradient, along[3]; /* of each joint and those below it; no step exists yet */
    for (int k = 0; k < 3 * J; k++) force[k] = torque[k] = fill(0);
    for (int m = 0; m < M; m++)
        for (int n = s->term_start[m]; n < s->term_start[m + 1]; n++) {
            int k = s->term_joint[n];
            cross(along, w->term + 3 * n, w->force + 3 * m);
            for (int c = 0; c < 3; c++) {
                torque[3 * k + c] += along[c];
                force[3 * k + c] += fill(s->term_weight[n]) * w->force[3 * m + c];
            }
        }
    for (int j = J - 1; j > 0; j--)
        for (int c = 0; c < 3; c++) {
            torque[3 * s->parent[j] + c] += torque[3 * j + c];
            force[3 * s->parent[j] + c] += force[3 * j + c];
        }
    for (int c = 0; c < 3; c++) {
        torque[3 * J + c] = force[c];
        for (int r = 0; r < w->num_targets; r++)
            torque[3 * J + c] +=
                w->target_translation_precision[r] * (pose->translation[c] - w->target_translation[3 * r + c]);
    }
    for (int j = 0; j < J; j++) {
        lanes above[9], of_terms[3];
        cross(along, w->position + 3 * j, force + 3 * j);
        parent_world(above, w, s, j);
        rotate(of_terms, above, w->joint_gradient + 3 * j);
        for (int c = 0; c < 3; c++) torque[3 * j + c] += of_terms[c] - along[c];
        if (hinge_axes(w, s, pose, j)) {
            rotate(of_terms, w->axes + 9 * j, torque + 3 * j);
            memcpy(torque + 3 * j, of_terms, sizeof of_terms);
        }
        if (s->angle_lower)
            for (int k = 0; k < 2; k++) torque[3 * j + k] += s->limit_precision * beyond_angle_bounds(s, pose, j, k);
    }
    if (s->num_features) add_blendshape_gradient(w, s);
}

/* The joint at a position in the list of a limb's joints followed by those of the trunk. */
INLINE int joint_at(const Subject *s, int g, int position) {
    int limb = s->limb_start[g + 1] - s->limb_start[g];
    return position < limb ? s->limb_joint[s->limb_start[g] + position] : s->trunk_joint[position - limb];
}

/* Write the lever arms of a limb's markers about the joints of limb and trunk, times the root of the number of limbs
 * that share the marker for joints of the limb, divided by it for those of the trunk. */
INLINE void find_arms(Workspace *w, const Subject *s, int g, int P) {
    int limb = s->limb_start[g + 1] - s->limb_start[g];
    lanes *arm = w->arms, *weighted = w->weighted_arms;
    for (int n = s->copy_start[g]; n < s->copy_start[g + 1]; n++) {
        int m = s->copy_marker[n];
        for (int i = 0; i < P; i++, arm += 3, weighted += 3) {
            int j = joint_at(s, g, i);
            float total = 0, scale = i < limb ? s->copy_scale[n] : 1 / s->copy_scale[n];
            lanes sum[3] = {fill(0), fill(0), fill(0)};
            for (int k = s->term_start[m]; k < s->term_start[m + 1]; k++)
                if (s->is_below[s->num_joints * j + s->term_joint[k]]) {
                    total += s->term_weight[k];
                    for (int c = 0; c < 3; c++) sum[c] += w->term[3 * k + c];
                }
            for (int c = 0; c < 3; c++) {
                arm[c] = scale * (sum[c] - total * w->position[3 * j + c]);
                weighted[c] = w->weight[m] * arm[c];
            }
        }
    }
}

/* From world axes to those of the parameters of two joints: left * block * right', for hinges alone. */
INLINE void to_parameters(lanes block[9], const Workspace *w, const Subject *s, int left, int right) {
    lanes product[9];
    if (!s->hinged) return;
    if (left >= 0 && s->hinged[left]) {
        multiply_matrices(product, w->axes + 9 * left, block);
        memcpy(block, product, sizeof product);
    }
    if (right >= 0 && s->hinged[right]) {
        for (int r = 0; r < 3; r++) rotate(product + 3 * r, w->axes + 9 * right, block + 3 * r);
        memcpy(block, product, sizeof product);
    }
}

/* Write the derivatives of a limb's markers in the parameters of the joints of limb and trunk, with blend shapes,
 * scaled as the lever arms are (``_marker_jacobian``). */
INLINE void find_jacobian(Workspace *w, const Subject *s, int g, int P) {
    int J = s->num_joints, F = s->num_features, L = limb_size(s, g) / 3;
    const lanes *arm = w->arms;
    lanes *jacobian = w->jacobian;
    for (int n = s->copy_start[g]; n < s->copy_start[g + 1]; n++)
        for (int i = 0; i < P; i++, arm += 3, jacobian += 9) {
            int m = s->copy_marker[n], j = joint_at(s, g, i);
            float scale = i < L ? s->copy_scale[n] : 1 / s->copy_scale[n];
            lanes shift[9], turned[9], axis[3], column[3];
            for (int c = 0; c < 3; c++)
                for (int d = 0; d < 3; d++) {
                    shift[3 * c + d] = fill(0);
                    const float *directions = s->posedirs + F * (J * (3 * m + c) + j);
                    for (int k = 0; k < F; k++)
                        shift[3 * c + d] += scale * directions[k] * w->feature_jacobian[3 * (F * j + k) + d];
                }
            multiply_matrices(turned, w->blended + 9 * m, shift);
            for (int d = 0; d < 3; d++) { /* the axis of the parameter x the lever arm */
                for (int c = 0; c < 3; c++)
                    axis[c] = s->hinged && s->hinged[j] ? w->axes[9 * j + 3 * d + c] : fill(c == d);
                cross(column, axis, arm);
                for (int c = 0; c < 3; c++) jacobian[3 * c + d] = turned[3 * c + d] + column[c];
            }
        }
}

/* Prepare the sums over a limb's markers. */
INLINE void find_columns(Workspace *w, const Subject *s, int g, int P) {
    find_arms(w, s, g, P);
    if (s->num_features) find_jacobian(w, s, g, P);
}

/* Sum the curvature of a limb's markers between the parameters of two joints at positions i and j of its list. Shared
 * markers count `once`, not as often as there are limbs, if both joints are of the limb. */
INLINE void sum_curvature(lanes block[9], const Workspace *w, const Subject *s, int g, int P, int i, int j, int once) {
    lanes products[9];
    for (int k = 0; k < 9; k++) products[k] = fill(0);
    for (int n = 0; n < s->copy_start[g + 1] - s->copy_start[g]; n++) {
        float copies = s->copy_scale[s->copy_start[g] + n] * s->copy_scale[s->copy_start[g] + n];
        lanes scale = fill(once ? 1 / copies : 1);
        if (s->num_features) {
            const lanes *a = w->jacobian + 9 * (P * n + i), *b = w->jacobian + 9 * (P * n + j);
            scale *= w->weight[s->copy_marker[s->copy_start[g] + n]];
            for (int r = 0; r < 3; r++)
                for (int c = 0; c < 3; c++)
                    for (int d = 0; d < 3; d++) products[3 * c + d] += scale * a[3 * r + c] * b[3 * r + d];
        } else {
            const lanes *a = w->arms + 3 * (P * n + i), *b = w->weighted_arms + 3 * (P * n + j);
            for (int c = 0; c < 3; c++) {
                lanes weighted = once ? scale * b[c] : b[c];
                for (int d = 0; d < 3; d++) products[3 * c + d] += weighted * a[d];
            }
        }
    }
    if (s->num_features) {
        memcpy(block, products, sizeof products);
        return;
    }
    lanes trace = products[0] + products[4] + products[8]; /* from the sum of r_j r_i' to that of D_i' D_j */
    for (int c = 0; c < 3; c++)
        for (int d = 0; d < 3; d++) block[3 * c + d] = (c == d ? trace : fill(0)) - products[3 * c + d];
    to_parameters(block, w, s, joint_at(s, g, i), joint_at(s, g, j));
}

/* Sum the curvature of a limb's markers between the parameters of the joint at position i and the translation. */
INLINE void sum_curvature_of_translation(lanes block[9], const Workspace *w, const Subject *s, int g, int P, int i) {
    lanes sum[3] = {fill(0), fill(0), fill(0)};
    for (int k = 0; k < 9; k++) block[k] = fill(0);
    for (int n = 0; n < s->copy_start[g + 1] - s->copy_start[g]; n++) {
        float scale = 1 / s->copy_scale[s->copy_start[g] + n];
        if (s->num_features) {
            lanes weight = scale * w->weight[s->copy_marker[s->copy_start[g] + n]];
            for (int c = 0; c < 3; c++)
                for (int d = 0; d < 3; d++) block[3 * c + d] += weight * w->jacobian[9 * (P * n + i) + 3 * d + c];
        } else
            for (int c = 0; c < 3; c++) sum[c] += scale * w->weighted_arms[3 * (P * n + i) + c];
    }
    if (s->num_features) return;
    block[5] = -sum[0], block[7] = sum[0]; /* D' = [r]x */
    block[2] = sum[1], block[6] = -sum[1];
    block[1] = -sum[2], block[3] = sum[2];
    to_parameters(block, w, s, joint_at(s, g, i), -1);
}

/* Curvature of the joint terms of joint j in its parameters. */
INLINE void curvature_of_joint_terms(
    lanes block[9], const Workspace *w, const Subject *s, const PoseLanes *pose, int j
) {
    lanes above[9];
    parent_world(above, w, s, j);
    const lanes *diagonal = w->joint_curvature + 3 * j;
    for (int c = 0; c < 3; c++)
        for (int d = 0; d < 3; d++) {
            block[3 * c + d] = fill(0);
            for (int k = 0; k < 3; k++) block[3 * c + d] += above[3 * c + k] * diagonal[k] * above[3 * d + k];
        }
    to_parameters(block, w, s, j, j);
    if (s->angle_lower)
        for (int k = 0; k < 2; k++)
            block[4 * k] += choose(beyond_angle_bounds(s, pose, j, k) != 0, fill(s->limit_precision), fill(0));
}

INLINE void write_block(lanes *matrix, int columns, int row, int column, const lanes block[9]) {
    for (int c = 0; c < 3; c++)
        for (int d = 0; d < 3; d++) matrix[columns * (row + c) + column + d] = block[3 * c + d];
}
INLINE void add_block(lanes *matrix, int columns, int row, int column, const lanes block[9]) {
    for (int c = 0; c < 3; c++)
        for (int d = 0; d < 3; d++) matrix[columns * (row + c) + column + d] += block[3 * c + d];
}

/* Compute the curvature at the pose of evaluate() and find_gradient() (``_marker_equations``, ``_add_joint_terms``). */
FOR_EACH_TARGET static void find_curvature(Workspace *w, const Subject *s, const PoseLanes *pose) {
    int t = trunk_size(s), K = s->num_trunk;
    lanes block[9], *limb = w->limb, *across = w->across;
    for (int k = 0; k < t * t; k++) w->trunk[k] = fill(0);
    for (int g = 0; g < s->num_limbs; g++) {
        int l = limb_size(s, g), L = l / 3, P = L + K, first = s->copy_start[g], N = s->copy_start[g + 1] - first;
        lanes total = fill(0);
        find_columns(w, s, g, P);
        for (int i = 0; i < P; i++) {
            for (int j = i < L ? 0 : L; j < P; j++) {
                if ((i < L && j > i && j < L) || (i >= L && j > i)) continue; /* the upper triangle */
                sum_curvature(block, w, s, g, P, i, j, 0);
                if (i >= L) add_block(w->trunk, t, 3 * (i - L), 3 * (j - L), block);
                else if (j < L) write_block(limb, l, 3 * i, 3 * j, block);
                else write_block(across, t, 3 * i, 3 * (j - L), block);
            }
            sum_curvature_of_translation(block, w, s, g, P, i);
            if (i < L) write_block(across, t, 3 * i, 3 * K, block);
            else
                for (int c = 0; c < 3; c++)
                    for (int d = 0; d < 3; d++) w->trunk[t * (3 * K + c) + 3 * (i - L) + d] += block[3 * d + c];
            if (i < L) {
                curvature_of_joint_terms(block, w, s, pose, joint_at(s, g, i));
                add_block(limb, l, 3 * i, 3 * i, block);
            }
        }
        for (int n = 0; n < N; n++) {
            float scale = s->copy_scale[first + n];
            total += w->weight[s->copy_marker[first + n]] / (scale * scale);
        }
        for (int c = 0; c < 3; c++) w->trunk[(t + 1) * (3 * K + c)] += total;
        limb += l * l, across += l * t;
    }
    for (int i = 0; i < K; i++) {
        curvature_of_joint_terms(block, w, s, pose, s->trunk_joint[i]);
        add_block(w->trunk, t, 3 * i, 3 * i, block);
    }
    for (int r = 0; r < w->num_targets; r++)
        for (int c = 0; c < 3; c++) w->trunk[(t + 1) * (3 * K + c)] += w->target_translation_precision[r];
}

/* Write the curvature that the markers alone give each joint, and last the translation (``_curvature_of_joints``). */
FOR_EACH_TARGET static void find_marker_curvature(
    Workspace *w, const Subject *s, int64_t first_frame, int64_t num_frames, float *result
) {
    int J = s->num_joints, M = s->num_markers, K = s->num_trunk;
    lanes block[9], total = fill(0);
    int64_t size = 9 * (J + 1);
    lanes *sums = w->own_curvature;
    for (int k = 0; k < 9 * J; k++) sums[k] = fill(0);
    for (int g = 0; g < s->num_limbs; g++) {
        int L = limb_size(s, g) / 3, P = L + K;
        find_columns(w, s, g, P);
        for (int i = 0; i < P; i++) { /* the parts of a shared marker together count once for the trunk */
            sum_curvature(block, w, s, g, P, i, i, i < L);
            for (int k = 0; k < 9; k++) sums[9 * joint_at(s, g, i) + k] += block[k];
        }
    }
    for (int m = 0; m < M; m++) total += w->weight[m];
    for (int j = 0; j <= J; j++) {
        if (j < J) memcpy(block, sums + 9 * j, sizeof block);
        else
            for (int k = 0; k < 9; k++) block[k] = k % 4 ? fill(0) : total;
        for (int i = 0; i < LANES && first_frame + i < num_frames; i++)
            for (int k = 0; k < 9; k++) result[size * (first_frame + i) + 9 * j + k] = block[k][i];
    }
}

/* --- the equations ------------------------------------------------------------------------------------------------ */

/* Factor a symmetric matrix (n, n) = L L' in place, in the lower triangle; its diagonal is inverted. */
INLINE void factor(lanes *matrix, int n) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            lanes sum = matrix[n * i + j];
            for (int k = 0; k < j; k++) sum -= matrix[n * i + k] * matrix[n * j + k];
            matrix[n * i + j] = i == j ? 1 / root(sum) : sum * matrix[(n + 1) * j];
        }
}

/* Replace columns (n, m) by L^-1 columns, four at a time. */
INLINE void solve_lower(const lanes *matrix, int n, lanes *columns, int m) {
    for (int c = 0; c < m; c += 4) {
        int count = m - c < 4 ? m - c : 4;
        for (int i = 0; i < n; i++) {
            lanes sum[4];
            for (int d = 0; d < count; d++) sum[d] = columns[m * i + c + d];
            for (int k = 0; k < i; k++)
                for (int d = 0; d < count; d++) sum[d] -= matrix[n * i + k] * columns[m * k + c + d];
            for (int d = 0; d < count; d++) columns[m * i + c + d] = sum[d] * matrix[(n + 1) * i];
        }
    }
}

/* Replace a vector (n,) by L'^-1 vector. */
INLINE void solve_upper(const lanes *matrix, int n, lanes *vector) {
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++) vector[i] -= matrix[n * k + i] * vector[k];
        vector[i] *= matrix[(n + 1) * i];
    }
}

/* Damp the curvature and replace it by its factors, the limbs eliminated from the trunk (``damped_step``). */
FOR_EACH_TARGET static void damp_and_factor(Workspace *w, const Subject *s, const lanes *damping) {
    int t = trunk_size(s);
    lanes *limb = w->limb, *across = w->across, *added = w->added, largest = fill(0);
    for (int g = 0; g < s->num_limbs; g++) {
        int l = limb_size(s, g);
        for (int i = 0; i < l; i++) largest = larger(largest, limb[(l + 1) * i]);
        limb += l * l;
    }
    for (int i = 0; i < t; i++) largest = larger(largest, w->trunk[(t + 1) * i]);
    lanes ridge = 1e-6f * largest;
    limb = w->limb;
    for (int g = 0; g < s->num_limbs; g++) {
        int l = limb_size(s, g);
        for (int i = 0; i < l; i++) {
            *added = *damping * limb[(l + 1) * i] + ridge;
            limb[(l + 1) * i] += *added++;
        }
        factor(limb, l);
        solve_lower(limb, l, across, t);
        limb += l * l, across += l * t;
    }
    int rows = (int)((across - w->across) / t); /* of all limbs */
    for (int i = 0; i < t; i++)
        for (int j = 0; j <= i; j++) {
            if (i == j) {
                *added = *damping * w->trunk[(t + 1) * i] + ridge;
                w->trunk[(t + 1) * i] += *added++;
            }
            lanes sum = fill(0);
            for (int k = 0; k < rows; k++) sum += w->across[t * k + i] * w->across[t * k + j];
            w->trunk[t * i + j] -= sum;
        }
    factor(w->trunk, t);
}

/* Solve for the step with the factors of damp_and_factor(). The gain predicted by the quadratic model is
 * 1/2 step . (added * step - gradient); without `damped`, for another gradient than that of the factors, it is
 * -1/2 step . gradient. */
FOR_EACH_TARGET static void find_step(Workspace *w, const Subject *s, int damped, lanes *gain) {
    int t = trunk_size(s);
    const lanes *limb = w->limb, *across = w->across, *added = w->added;
    lanes *halves = w->halves, *side = w->trunk_side;
    *gain = fill(0);
    for (int i = 0; i < t; i++) side[i] = -w->gradient[trunk_parameter(s, i)];
    for (int g = 0; g < s->num_limbs; g++) {
        int l = limb_size(s, g);
        for (int i = 0; i < l; i++) halves[i] = w->gradient[limb_parameter(s, g, i)];
        solve_lower(limb, l, halves, 1);
        for (int i = 0; i < t; i++)
            for (int k = 0; k < l; k++) side[i] += across[t * k + i] * halves[k];
        halves += l, limb += l * l, across += l * t;
    }
    solve_lower(w->trunk, t, side, 1);
    solve_upper(w->trunk, t, side);
    limb = w->limb, across = w->across, halves = w->halves;
    for (int g = 0; g < s->num_limbs; g++) {
        int l = limb_size(s, g);
        for (int k = 0; k < l; k++)
            for (int i = 0; i < t; i++) halves[k] += across[t * k + i] * side[i];
        solve_upper(limb, l, halves);
        for (int i = 0; i < l; i++, added++) {
            int parameter = limb_parameter(s, g, i);
            lanes step = w->step[parameter] = -halves[i];
            *gain += step * ((damped ? *added * step : fill(0)) - w->gradient[parameter]);
        }
        halves += l, limb += l * l, across += l * t;
    }
    for (int i = 0; i < t; i++, added++) {
        int parameter = trunk_parameter(s, i);
        lanes step = w->step[parameter] = side[i];
        *gain += step * ((damped ? *added * step : fill(0)) - w->gradient[parameter]);
    }
    *gain *= 0.5f;
}

/* Write the pose after a step from the pose of evaluate() (``apply_step``). */
FOR_EACH_TARGET static void take_step(
    const Workspace *w, const Subject *s, float max_step_rad, const PoseLanes *from, PoseLanes *to
) {
    int J = s->num_joints;
    for (int j = 0; j < J; j++) {
        lanes step[3], local[3], above[9], turn[4], q[4];
        memcpy(step, w->step + 3 * j, sizeof step);
        lanes scale = smaller(max_step_rad / larger(root(dot(step, step)), fill(1e-12f)), fill(1));
        for (int c = 0; c < 3; c++) step[c] *= scale;
        if (s->hinged && s->hinged[j]) {
            for (int k = 0; k < 2; k++) to->angles[2 * j + k] = from->angles[2 * j + k] + step[k];
            for (int i = 0; i < LANES; i++) {
                double angle[2] = {to->angles[2 * j][i], to->angles[2 * j + 1][i]}, hinge[4];
                quaternion_of_hinges(hinge, s->first_axis + 3 * j, s->second_axis + 3 * j, angle);
                for (int k = 0; k < 4; k++) to->rotations[4 * j + k][i] = hinge[k];
            }
            continue;
        }
        parent_world(above, w, s, j);
        rotate_back(local, above, step);
        from_rotvec(turn, local);
        multiply_quaternions(q, turn, from->rotations + 4 * j);
        lanes norm = root(dot(q, q) + q[3] * q[3]);
        for (int k = 0; k < 4; k++) to->rotations[4 * j + k] = q[k] / norm;
        for (int k = 0; k < 2; k++) to->angles[2 * j + k] = from->angles[2 * j + k];
    }
    for (int c = 0; c < 3; c++) to->translation[c] = from->translation[c] + w->step[3 * J + c];
}

INLINE void replace_pose(PoseLanes *pose, const PoseLanes *by, mask where, int J) {
    for (int k = 0; k < 4 * J; k++) pose->rotations[k] = choose(where, by->rotations[k], pose->rotations[k]);
    for (int k = 0; k < 2 * J; k++) pose->angles[k] = choose(where, by->angles[k], pose->angles[k]);
    for (int c = 0; c < 3; c++) pose->translation[c] = choose(where, by->translation[c], pose->translation[c]);
}

/* --- Levenberg-Marquardt ------------------------------------------------------------------------------------------ */

/* The damping after a step that lowered the objective, or did not. */
INLINE lanes next_damping(lanes damping, mask better) {
    return choose(better, damping * 0.125f, larger(damping * 6, fill(1e-3f)));
}

/* Solve the frames of a workspace from best on; write their objectives and numbers of steps (``solve_poses``). */
FOR_EACH_TARGET static void solve(
    Workspace *w, const Subject *s, const Options *options, lanes *cost, mask *tried
) {
    int J = s->num_joints, steps = options->max_iterations;
    mask active = (mask){0} - 1, rejected = {0};
    lanes damping = fill(options->damping), gain;
    *cost = w->cost; /* of evaluate(best) */
    *tried = (mask){0};
    int here = 1; /* whether the last pose evaluated is the best one of every active frame */
    if (options->reuse_factors) { /* ``_first_two_steps`` */
        find_gradient(w, s, &w->best);
        find_curvature(w, s, &w->best);
        damp_and_factor(w, s, &damping);
        find_step(w, s, 1, &gain);
        take_step(w, s, options->max_step_rad, &w->best, &w->candidate);
        mask ends = gain < options->tolerance * *cost;
        *tried -= active;
        active &= ~ends;
        replace_pose(&w->best, &w->candidate, ends, J);
        if (any(active)) {
            evaluate(w, s, &w->candidate);
            find_gradient(w, s, &w->candidate);
            find_step(w, s, 0, &gain);
            take_step(w, s, options->max_step_rad, &w->candidate, &w->second);
            mask better = active & (w->cost < *cost), done = better & (gain < options->tolerance * w->cost);
            replace_pose(&w->best, &w->candidate, better, J);
            replace_pose(&w->best, &w->second, done, J);
            *cost = choose(better, w->cost, *cost);
            *tried -= done;
            damping = next_damping(damping, better);
            rejected = ~better & 1;
            active &= ~done;
            here = !any(active & ~better);
            steps--;
        }
    }
    for (; steps > 0 && any(active); steps--) {
        if (!here) evaluate(w, s, &w->best);
        find_gradient(w, s, &w->best);
        find_curvature(w, s, &w->best);
        damp_and_factor(w, s, &damping);
        find_step(w, s, 1, &gain);
        take_step(w, s, options->max_step_rad, &w->best, &w->candidate);
        evaluate(w, s, &w->candidate);
        *tried -= active;
        mask last = gain < options->tolerance * *cost, better = active & (w->cost < *cost);
        lanes lowered = (*cost - w->cost) / larger(*cost, fill(1e-12f));
        replace_pose(&w->best, &w->candidate, better, J);
        *cost = choose(better, w->cost, *cost);
        damping = smaller(larger(next_damping(damping, better), fill(1e-7f)), fill(1e5f));
        rejected = (rejected + 1) & ~better;
        active &= ~(last | (better & (lowered < options->tolerance)) | (rejected >= 4));
        here = !any(active & ~better);
    }
}

/* Allocate a workspace; NULL without memory. */
static Workspace *make_workspace(const Subject *s, int num_targets) {
    Workspace probe;
    size_t head = (sizeof(Workspace) + sizeof(lanes) - 1) / sizeof(lanes) * sizeof(lanes);
    size_t size = head + sizeof(lanes) * (size_t)arrange(&probe, NULL, s, num_targets);
    Workspace *w = aligned_alloc(sizeof(lanes), size);
    if (w) {
        memset(w, 0, size);
        arrange(w, (lanes *)((char *)w + head), s, num_targets);
    }
    return w;
}

/* Of this file when it was compiled: a library that is older than the file beside it isn't used. */
#ifndef SOURCE_CHECKSUM
#define SOURCE_CHECKSUM 0
#endif
uint32_t source_checksum(void) { return SOURCE_CHECKSUM; }

/* Solve all frames. Returns 0, or 1 if there is no memory. */
int solve_frames(
    const Subject *s, const Frames *frames, const Target *targets, int32_t num_targets, const Options *options,
    const Result *result
) {
    Workspace *w = make_workspace(s, num_targets);
    if (!w) return 1;
    for (int64_t first = 0; first < frames->num_frames; first += LANES) {
        lanes cost;
        mask tried;
        load_frames(w, s, frames, targets, first);
        evaluate(w, s, &w->best);
        if (result->start_curvature) {
            if (s->hinged) find_gradient(w, s, &w->best); /* it finds the axes of the hinges */
            find_marker_curvature(w, s, first, frames->num_frames, result->start_curvature);
        }
        solve(w, s, options, &cost, &tried);
        store_frames(w, s, first, frames->num_frames, result);
        for (int i = 0; i < LANES && first + i < frames->num_frames; i++) {
            result->cost[first + i] = cost[i];
            result->iterations[first + i] = tried[i];
        }
    }
    free(w);
    return 0;
}

/* Pose feature of joint j of a frame, in double precision (``find_features``). */
static void feature_of_joint(double feature[9], const Subject *s, const Frames *frames, int64_t t, int j) {
    const double *rotation = frames->rotations + 9 * (s->num_joints * t + j);
    if (s->num_features == 9) {
        for (int k = 0; k < 9; k++) feature[k] = rotation[k] - (k % 4 == 0);
    } else if (s->hinged && s->hinged[j]) {
        double found[3][4];
        const double *angle = frames->angles + 2 * (s->num_joints * t + j);
        feature_of_hinges(found, s->first_axis + 3 * j, s->second_axis + 3 * j, angle);
        memcpy(feature, found[0], sizeof found[0]);
    } else {
        quaternion_of_matrix(feature, rotation);
        for (int k = 0, flip = feature[3] < 0; k < 4; k++) feature[k] = (flip ? -feature[k] : feature[k]) - (k == 3);
    }
}

/* Compute the virtual markers (T, M, 3) and the joints (T, J, 3) of poses, in double precision and frame by frame.
 * Returns as solve_frames() does. */
int place_frames(const Subject *s, const Frames *frames, double *markers, double *joints) {
    int J = s->num_joints, M = s->num_markers, F = s->num_features;
    double *world = malloc(sizeof(double) * 18 * (size_t)J), *feature = world + 9 * J;
    if (!world) return 1;
    for (int64_t t = 0; t < frames->num_frames; t++, markers += 3 * M, joints += 3 * J) {
        for (int j = 0; j < J; j++) {
            const double *local = frames->rotations + 9 * (J * t + j), *bone = s->bone + 3 * j;
            int parent = s->parent[j];
            for (int r = 0; r < 3; r++) {
                if (parent < 0) {
                    memcpy(world + 3 * r, local + 3 * r, 3 * sizeof(double));
                    joints[r] = bone[r] + frames->translation[3 * t + r];
                    continue;
                }
                const double *row = world + 9 * parent + 3 * r;
                for (int c = 0; c < 3; c++)
                    world[9 * j + 3 * r + c] = row[0] * local[c] + row[1] * local[3 + c] + row[2] * local[6 + c];
                joints[3 * j + r] = joints[3 * parent + r] + row[0] * bone[0] + row[1] * bone[1] + row[2] * bone[2];
            }
            if (F) feature_of_joint(feature + F * j, s, frames, t, j);
        }
        for (int m = 0; m < M; m++) {
            double shift[3] = {0, 0, 0}, *marker = markers + 3 * m;
            for (int c = 0; c < 3; c++)
                for (int k = 0; k < F * J; k++) shift[c] += s->posedirs[F * J * (3 * m + c) + k] * feature[k];
            marker[0] = marker[1] = marker[2] = 0;
            for (int n = s->term_start[m]; n < s->term_start[m + 1]; n++) {
                double weight = s->term_weight[n], place[3];
                int k = s->term_joint[n];
                for (int c = 0; c < 3; c++) place[c] = s->term_place[3 * n + c] + weight * shift[c];
                for (int r = 0; r < 3; r++) {
                    const double *row = world + 9 * k + 3 * r;
                    marker[r] += weight * joints[3 * k + r] + row[0] * place[0] + row[1] * place[1] + row[2] * place[2];
                }
            }
        }
    }
    free(world);
    return 0;
}

/* Evaluate objective, gradient, curvature and one step of all frames; between limbs, the curvature is zero. */
int linearize_frames(
    const Subject *s, const Frames *frames, const Target *targets, int32_t num_targets, const Options *options,
    const Linearization *result
) {
    int D = 3 * s->num_joints + 3, t = trunk_size(s);
    Workspace *w = make_workspace(s, num_targets);
    if (!w) return 1;
    memset(result->curvature, 0, sizeof(float) * (size_t)frames->num_frames * D * D);
    for (int64_t first = 0; first < frames->num_frames; first += LANES) {
        lanes damping = fill(options->damping), gain;
        load_frames(w, s, frames, targets, first);
        evaluate(w, s, &w->best);
        find_gradient(w, s, &w->best);
        find_curvature(w, s, &w->best);
        for (int i = 0; i < LANES && first + i < frames->num_frames; i++) {
            float *H = result->curvature + (first + i) * D * D;
            const lanes *limb = w->limb, *across = w->across;
            for (int g = 0; g < s->num_limbs; g++) {
                int l = limb_size(s, g);
                for (int a = 0; a < l; a++) {
                    int row = limb_parameter(s, g, a);
                    for (int b = 0; b <= a; b++) {
                        int column = limb_parameter(s, g, b);
                        H[D * row + column] = H[D * column + row] = limb[l * a + b][i];
                    }
                    for (int b = 0; b < t; b++) {
                        int column = trunk_parameter(s, b);
                        H[D * row + column] = H[D * column + row] = across[t * a + b][i];
                    }
                }
                limb += l * l, across += l * t;
            }
            for (int a = 0; a < t; a++)
                for (int b = 0; b <= a; b++) {
                    int row = trunk_parameter(s, a), column = trunk_parameter(s, b);
                    H[D * row + column] = H[D * column + row] = w->trunk[t * a + b][i];
                }
        }
        damp_and_factor(w, s, &damping);
        find_step(w, s, 1, &gain);
        for (int i = 0; i < LANES && first + i < frames->num_frames; i++) {
            result->cost[first + i] = w->cost[i];
            result->gain[first + i] = gain[i];
            for (int k = 0; k < D; k++) {
                result->gradient[D * (first + i) + k] = w->gradient[k][i];
                result->step[D * (first + i) + k] = w->step[k][i];
            }
        }
    }
    free(w);
    return 0;
}
